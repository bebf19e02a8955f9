"""The vault's status in a line: is anything at risk, and how many machines could be failed over now."""

from collections import Counter
from collections.abc import Iterable

from replikera.cli.protection_view import verdict
from replikera.cli.records import Record, records
from replikera.cli.wording import UNKNOWN, plain

RECONCILING = "reconciling"
WELL = frozenset({"healthy", "not-applicable"})
_AT_RISK = frozenset({"warning", "critical"})
_MAX_NAMED = 3


def at_risk(answer: Record) -> str:
    """Return whether anything is at risk, and what."""
    level = answer.get("health")
    if level == "healthy":
        return "no"
    if level == "not-applicable":
        return "no promise to keep yet"
    word = "yes" if level in _AT_RISK else UNKNOWN
    ailing = _ailing(answer)
    return f"{word}: {some(ailing)}" if ailing else word


def failover_now(answer: Record) -> str:
    """Return how many machines could be failed over now, and for how many that is not known."""
    counts = Counter(verdict(protection) for protection in records(answer, "protections"))
    text = f"{counts['yes']} of {counts.total()}"
    return f"{text}, {counts[UNKNOWN]} unknown" if counts[UNKNOWN] else text


def some(names: list[str]) -> str:
    """Return names as a person reads them, no more than a few."""
    more = len(names) - _MAX_NAMED
    named = ", ".join(names[:_MAX_NAMED])
    return f"{named} and {more} more" if more > 0 else named


def by_text(told: Iterable[tuple[str | None, Record]]) -> dict[str, list[str]]:
    """Return the names of those of whom the same is told; None is nothing."""
    found: dict[str, list[str]] = {}
    for text, about in told:
        if text is not None:
            found.setdefault(text, []).append(plain(about.get("name")))
    return found


def _ailing(answer: Record) -> list[str]:
    vault = ["the vault reconciles"] if answer.get("mode") == RECONCILING else []
    protections = [
        plain(protection.get("name"))
        for protection in records(answer, "protections")
        if protection.get("health") not in WELL
    ]
    hosts = [
        f"host {plain(host.get('name'))}"
        for host in records(answer, "hosts")
        if host.get("state") != "connected"
    ]
    return vault + protections + hosts
