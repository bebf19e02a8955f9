"""What a protection's fields say to people."""

from replikera.cli.records import Record, field
from replikera.cli.wording import UNKNOWN, duration, plain, precise_instant


def lag(protection: Record) -> str:
    """Return the measured lag."""
    return duration(protection.get("lag_seconds"))


def newest_point(protection: Record) -> str:
    """Return the newest recovery point's number and time; "none" where there is no point yet."""
    if "newest_point" in protection and protection["newest_point"] is None:
        return "none"
    sequence = field(protection, "newest_point", "sequence")
    if sequence is None:
        return UNKNOWN
    at = precise_instant(field(protection, "newest_point", "capture_started_at"))
    return f"{plain(sequence)} at {at}"


def last_test_failover(protection: Record) -> str:
    """Return the state of the last test failover; "never" where there was none."""
    if protection.get("test_failover") is None:
        return "never"
    return plain(field(protection, "test_failover", "state"))


def advice(protection: Record) -> str | None:
    """Return cause and remedy of what is wrong with a protection, None while nothing is."""
    parts = [str(protection[key]).rstrip(".") for key in ("cause", "remedy") if protection.get(key)]
    if not parts:
        return None
    return plain(f"{protection.get('name')}: {'. '.join(parts)}.")
