"""Whether the lag of protections is within their promises, or within thresholds of the operator's own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from replikera.cli.plugin import Datum, PluginState, Result, worst
from replikera.cli.protection_view import trouble
from replikera.cli.records import Record
from replikera.cli.wording import duration, number, plain

_DISABLING = "disabling"
_WITHOUT_POINT = frozenset({"enabling", "initial-replication"})
_MAX_NAMED = 5
_ORDER = (PluginState.CRITICAL, PluginState.WARNING, PluginState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The lag above which it is a warning, or critical; None stands for what the protection promises."""

    warning: float | None = None
    critical: float | None = None

    def of(self, protection: Record) -> "Thresholds":
        """Return what holds for a protection; of the two, what was given bends what was not."""
        warning, critical = self.warning, self.critical
        if warning is None:
            warning = _least(number(protection.get("rpo_target_seconds")), critical)
        if critical is None:
            promised = number(protection.get("rpo_critical_seconds"))
            critical = None if promised is None else max(promised, self.warning or 0)
        return Thresholds(warning, critical)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one machine."""

    state: PluginState
    text: str
    datum: Datum


def examine(protection: Record, thresholds: Thresholds) -> Finding:
    """Return what a protection's lag means. What cannot be measured is unknown, unless it is broken for certain."""
    name = plain(protection.get("name"))
    lag, held = number(protection.get("lag_seconds")), thresholds.of(protection)
    datum = Datum(name, lag, held.warning, held.critical)
    if protection.get("state") == _DISABLING:
        return Finding(PluginState.UNKNOWN, f"{name} is being disabled", datum)
    if lag is None:
        is_broken = protection.get("health") == "critical"
        state = PluginState.CRITICAL if is_broken else PluginState.UNKNOWN
        return Finding(state, f"{name} lag unknown: {_cause(protection)}", datum)
    return _compared(name, lag, held, datum)


def not_found(name: str, cause: str) -> Finding:
    """Return what it means that there is no such protection."""
    return Finding(PluginState.UNKNOWN, cause.rstrip("."), Datum(plain(name), None, None, None))


def is_promised(protection: Record) -> bool:
    """Tell whether a protection has a promise to keep or to come: one that is being disabled has none."""
    return protection.get("state") != _DISABLING


def result(findings: Sequence[Finding]) -> Result:
    """Return everything in a line, the worst first."""
    if not findings:
        return Result(PluginState.UNKNOWN, "no virtual machine is protected")
    state = worst(finding.state for finding in findings)
    ailing = [finding.text for kind in _ORDER for finding in findings if finding.state is kind]
    return Result(state, _told(ailing) if ailing else _well(findings), _data(findings))


def _compared(name: str, lag: float, held: Thresholds, datum: Datum) -> Finding:
    text = f"{name} lag {duration(lag)}"
    for state, limit in (
        (PluginState.CRITICAL, held.critical),
        (PluginState.WARNING, held.warning),
    ):
        if limit is not None and lag > limit:
            return Finding(state, f"{text}, more than {duration(limit)}", datum)
    if held.warning is None or held.critical is None:
        return Finding(PluginState.UNKNOWN, f"{text}, its promise is not told", datum)
    return Finding(PluginState.OK, text, datum)


def _cause(protection: Record) -> str:
    told = trouble(protection)
    if told is not None:
        return told.rstrip(".")
    if protection.get("state") in _WITHOUT_POINT:
        return f"no recovery point yet ({protection['state']})"
    return "the vault does not tell why"


def _told(texts: list[str]) -> str:
    more = len(texts) - _MAX_NAMED
    return "; ".join(texts[:_MAX_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _well(findings: Sequence[Finding]) -> str:
    largest = max(findings, key=lambda finding: finding.datum.seconds or 0)
    if len(findings) == 1:
        return largest.text
    return f"{len(findings)} virtual machines, the largest lag: {largest.text}"


def _data(findings: Sequence[Finding]) -> tuple[Datum, ...]:
    """Return what was measured; machines of one name are numbered: a label stands for one of them."""
    counts = Counter(finding.datum.label for finding in findings)
    seen: Counter[str] = Counter()
    data = []
    for finding in findings:
        datum = finding.datum
        seen[datum.label] += 1
        if counts[datum.label] > 1:
            label = f"{datum.label} {seen[datum.label]}"
            datum = Datum(label, datum.seconds, datum.warning, datum.critical)
        data.append(datum)
    return tuple(data)


def _least(first: float | None, second: float | None) -> float | None:
    return min((value for value in (first, second) if value is not None), default=None)
