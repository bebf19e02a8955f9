"""Reading the vault's answers: objects of JSON, in which anything may be missing."""

from collections.abc import Mapping
from typing import TypeAlias

from replikera.cli.errors import AnswerError

Record: TypeAlias = Mapping[str, object]


def field(record: Record, *path: str) -> object:
    """Return the value under nested keys, None where any of them is missing."""
    value: object = record
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def records(record: Record, *path: str) -> list[Record]:
    """Return the objects of a nested list; empty where there is none."""
    value = field(record, *path)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def required_text(record: Record, key: str, of: str) -> str:
    """Return a text that nothing can go on without. Raises `AnswerError`."""
    value = record.get(key)
    if not isinstance(value, str) or not value:
        raise AnswerError(
            "answer-not-understood",
            f"The vault answered {of} without {key}",
            "Use the same version of replikera here and on the coordinator",
        )
    return value
