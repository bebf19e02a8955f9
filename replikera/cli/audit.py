"""The audit log checked here, not there: the vault's own word for its history is not enough."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from replikera.cli.client import VaultClient
from replikera.cli.errors import AnswerError, CommandError
from replikera.cli.paging import pages
from replikera.cli.records import Record, required_text
from replikera.cli.wording import parse_instant
from replikera.history import GENESIS, BrokenChainError, Line, verify


class BrokenHistoryError(CommandError):
    """The history is not what was written."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line's number, and the chain's digest there; number 0 is before the first line."""

    number: int
    digest: bytes


START = Place(0, GENESIS)


@dataclass(frozen=True, slots=True)
class Verified:
    """How many lines follow from one another, up to `head`."""

    lines: int
    head: Place


async def verify_audit_log(client: VaultClient, known: Place) -> Verified:
    """Check all lines after the known place, and that the place itself is still there. Raises `BrokenHistoryError`."""
    lines, head = 0, START
    if known != START:
        head = Place(known.number - 1, GENESIS)
    async for page in _pages(client, head.number):
        new = page
        if head.number < known.number:
            _check_known(page, known)
            head, new = known, page[1:]
        head = _follow(new, head)
        lines += len(new)
    if head.number < known.number:
        raise _gone(known)
    return Verified(lines, head)


async def _pages(client: VaultClient, after: int) -> AsyncIterator[list[tuple[Line, bytes]]]:
    async for items in pages(client, ("audit",), {"after": after}):
        yield [_line(item) for item in items]


def _check_known(page: list[tuple[Line, bytes]], known: Place) -> None:
    if not page or page[0][0].number != known.number:
        raise _gone(known)
    if page[0][1] != known.digest:
        raise BrokenHistoryError(
            "history-changed",
            f"Line {known.number} of the history has the digest {page[0][1].hex()}, not {known.digest.hex()}",
            "If the vault was restored from an older backup since (`replikera event list --kind "
            "vault-restored`), verify from the beginning. Otherwise it was changed, or the digest is of "
            "another vault: keep a backup of the vault as it is, and compare it with an older one",
        )


def _follow(page: list[tuple[Line, bytes]], head: Place) -> Place:
    try:
        return Place(*verify(page, after=head.number, previous=head.digest))
    except BrokenChainError as error:
        text = str(error)
        raise BrokenHistoryError(
            "history-broken",
            f"{text[:1].upper()}{text[1:]}: the history was changed",
            "Keep a backup of the vault as it is, and compare it with an older one; lines before this "
            "one are as they were written",
        ) from error


def _gone(known: Place) -> BrokenHistoryError:
    return BrokenHistoryError(
        "history-cut",
        f"The history has no line {known.number}, which it had when its digest was kept",
        "If the vault was restored from an older backup since, `replikera event list --kind "
        "vault-restored` tells when, and verify from the beginning; otherwise lines were removed",
    )


def _line(item: Record) -> tuple[Line, bytes]:
    number, occurred_at = item.get("number"), parse_instant(item.get("occurred_at"))
    if not isinstance(number, int) or isinstance(number, bool) or occurred_at is None:
        raise _not_understood()
    texts = [item.get(key) for key in ("actor", "kind", "subject", "detail")]
    actor, kind, subject, detail = (_text(text) for text in texts)
    try:
        digest = bytes.fromhex(required_text(item, "digest", "an audit line"))
    except ValueError as error:
        raise _not_understood() from error
    return Line(number, occurred_at, actor, kind, subject, detail), digest


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _not_understood()
    return value


def _not_understood() -> AnswerError:
    return AnswerError(
        "answer-not-understood",
        "The vault answered a line of the audit log that makes no sense",
        "Use the same version of replikera here and on the coordinator",
    )
