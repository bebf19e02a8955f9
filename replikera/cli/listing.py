"""Lists: the vault's items under headings, or a word that there are none."""

from collections.abc import Callable, Sequence

import typer

from replikera.cli.errors import AnswerError
from replikera.cli.output import output_of, table
from replikera.cli.records import Record, records


def present_list(
    context: typer.Context,
    answer: Record,
    *,
    columns: Sequence[str],
    row: Callable[[Record], Sequence[object]],
    none: str,
    next_when_none: str,
    next_command: str | None = None,
) -> None:
    """Write a list answer; people are told in words when it is empty. Raises `AnswerError`."""
    if not isinstance(answer.get("items"), list):
        raise AnswerError(
            "answer-not-understood",
            "The vault answered a list without items",
            "Use the same version of replikera here and on the coordinator",
        )
    items = records(answer, "items")
    output = output_of(context)
    if not items and not output.is_json:
        output.message(none)
        output.next(next_when_none)
        return
    output.answer(answer, lambda: table(columns, [row(item) for item in items]))
    if next_command is not None:
        output.next(next_command)
