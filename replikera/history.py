"""The chain over the vault's history: who did what, each line bound to all lines before it.

The digest of a line is SHA-256 over the digest before it and the line as canonical JSON (an array, UTF-8, no blanks).
Hosts keep the newest digest that they obeyed, operators may keep any: a history that was changed or cut shows.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

GENESIS = bytes(32)
"""What stands before the first line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the history.

    `number` rises, not always by one. `actor` is "operator/<name>", "host/<id>" or "vault"; `subject` is the id of the
    object that the line is about.
    """

    number: int
    occurred_at: datetime
    actor: str
    kind: str
    subject: str
    detail: str


class BrokenChainError(Exception):
    """The history is not what was written; `number` is the first line that does not follow."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"line {number} of the history {problem}")
        self.number = number


def digest_of(previous: bytes, line: Line) -> bytes:
    """Return the chain's digest at `line`, 32 bytes."""
    fields = [
        line.number,
        line.occurred_at.astimezone(UTC).isoformat(timespec="microseconds"),
        line.actor,
        line.kind,
        line.subject,
        line.detail,
    ]
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(previous + text.encode()).digest()


def verify(
    lines: Iterable[tuple[Line, bytes]], *, after: int = 0, previous: bytes = GENESIS
) -> tuple[int, bytes]:
    """Return number and digest of the last of `lines`, each with its digest, which go on from line `after`.

    Raises `BrokenChainError`.
    """
    number = after
    for line, digest in lines:
        if line.number <= number:
            raise BrokenChainError(line.number, f"comes after line {number}")
        if digest_of(previous, line) != digest:
            raise BrokenChainError(line.number, "does not have the digest that follows from it")
        number, previous = line.number, digest
    return number, previous
