"""What to do about what the vault's status tells: a line for each trouble, with the command."""

import shlex
from collections.abc import Iterable
from datetime import timedelta

from replikera.cli.protection_view import advice, trouble, verdict
from replikera.cli.records import Record, field, records
from replikera.cli.risk import RECONCILING, by_text, some
from replikera.cli.wording import UNKNOWN, age, parse_instant, plain

PROOF_LASTS = timedelta(days=90)
"""A machine that was not proved for so long is due for a test failover."""

_STANDING = "started"
_FAILED = "failed"


def actions(answer: Record) -> list[str]:
    """Return what to do, what is at risk first, then the tests that are due."""
    protections = records(answer, "protections")
    now = answer.get("now")
    hosts = (host for host in records(answer, "hosts") if host.get("state") != "connected")
    tests = (proof_action(protection, now) for protection in protections)
    return [
        *_reconciling(answer),
        *(_host_action(host, now) for host in hosts),
        *_protection_actions(protections),
        *(test for test in tests if test is not None),
    ]


def proof_action(protection: Record, now: object) -> str | None:
    """Return what its test failovers ask for: a failed one, or that none has proved the machine lately."""
    name, state = plain(protection.get("name")), field(protection, "test_failover", "state")
    if state == _FAILED:
        return f"{name}: its test failover has failed. See: {_command('test-failover show', name)}"
    if state == _STANDING and is_proof_due(protection, now):
        clean_up = _command("test-failover cleanup", name)
        return f"{name}: its test failover proves it once it is cleaned up: {clean_up} --wait"
    prove = proof_command(protection, now)
    return None if prove is None else f"{name}: {_proved(protection, now)}. Prove it: {prove}"


def proof_command(protection: Record, now: object) -> str | None:
    """Return the command that proves a machine that is due for it, None while another test is about."""
    is_free = field(protection, "test_failover", "state") in {None, "cleaned-up"}
    if not is_free or not is_proof_due(protection, now):
        return None
    return f"{_command('test-failover start', plain(protection.get('name')))} --wait"


def is_proof_due(protection: Record, now: object) -> bool:
    """Tell whether a machine that could be failed over was never proved, or not lately."""
    if verdict(protection) != "yes" or "last_proved" not in protection:
        return False
    ended = parse_instant(field(protection, "last_proved", "ended_at"))
    present = parse_instant(now)
    return ended is None or (present is not None and present - ended > PROOF_LASTS)


def _proved(protection: Record, now: object) -> str:
    if protection["last_proved"] is None:
        return "no test failover has ever proved it"
    ago = age(field(protection, "last_proved", "ended_at"), now)
    if ago == UNKNOWN:
        return "it is not known when a test failover proved it last"
    return f"a test failover proved it last {ago}"


def _reconciling(answer: Record) -> list[str]:
    if answer.get("mode") != RECONCILING:
        return []
    return [
        "the vault was restored and waits for its hosts to report. See whom it misses: replikera vault show"
    ]


def _host_action(host: Record, now: object) -> str:
    name = plain(host.get("name"))
    see = _command("host show", name)
    told = advice(host)
    if told is not None:
        return _with_command(f"host {told}", see)
    seen = age(host.get("last_seen_at"), now)
    start = "Start its agent there: systemctl start replikera-agent"
    return (
        f"host {name} is not connected, last seen {seen}. {start}. Or look at its log. See: {see}"
    )


def _protection_actions(protections: Iterable[Record]) -> list[str]:
    """Return a line for each cause and remedy, with the machines that they are told of."""
    concerned = by_text((trouble(protection), protection) for protection in protections)
    return [
        _with_command(f"{some(names)}: {text}", _command("protection show", names[0]))
        for text, names in concerned.items()
    ]


def _with_command(text: str, command: str) -> str:
    return text if "replikera " in text else f"{text} See: {command}"


def _command(verb: str, name: str) -> str:
    return f"replikera {verb} {shlex.quote(name)}"
