"""What a protection's fields say to people."""

from replikera.cli.progress import figures
from replikera.cli.records import Record, field
from replikera.cli.wording import (
    UNKNOWN,
    duration,
    instant,
    number,
    plain,
    precise_instant,
    size,
)


def lag(protection: Record) -> str:
    """Return the measured lag."""
    return duration(protection.get("lag_seconds"))


def lag_and_target(protection: Record) -> str:
    """Return the measured lag with the RPO target, where that is told."""
    target = number(protection.get("rpo_target_seconds"))
    text = lag(protection)
    return text if target is None else f"{text} (RPO target {duration(target)})"


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


def verdict(protection: Record) -> str:
    """Return whether the machine could be failed over now: yes, no, or unknown."""
    said = field(protection, "failover_now", "answer")
    return str(said) if said in {"yes", "no"} else UNKNOWN


def failover_now(protection: Record) -> str:
    """Return whether the machine could be failed over now, and to how old a point."""
    said = verdict(protection)
    if said != "yes":
        return said
    sequence = plain(field(protection, "newest_point", "sequence"))
    age = duration(field(protection, "failover_now", "newest_point_age_seconds"))
    return f"yes, point {sequence}, " + ("of unknown age" if age == UNKNOWN else f"{age} old")


def hindrance(protection: Record) -> str | None:
    """Return why the machine cannot be failed over now, or why nobody can tell; None where it can."""
    said = verdict(protection)
    if said == "yes":
        return None
    reason = field(protection, "failover_now", "reason")
    return f"{said}. {plain(reason)}" if reason else said


def last_proved(protection: Record) -> str:
    """Return when the last successful test failover was over, and of which point it was; "never" without one."""
    if "last_proved" not in protection:
        return UNKNOWN
    if protection["last_proved"] is None:
        return "never"
    ended = field(protection, "last_proved", "ended_at")
    point = plain(field(protection, "last_proved", "point", "sequence"))
    generation = field(protection, "last_proved", "point", "generation")
    is_present = generation in {None, protection.get("generation")}
    earlier = "" if is_present else " of an earlier generation"
    return f"{'at an unknown time' if ended is None else instant(ended)}, point {point}{earlier}"


def trouble(told: Record) -> str | None:
    """Return cause and remedy of what is wrong with a protection or a host, None while nothing is."""
    parts = [str(told[key]).rstrip(".") for key in ("cause", "remedy") if told.get(key)]
    return plain(f"{'. '.join(parts)}.") if parts else None


def advice(protection: Record) -> str | None:
    """Return the same with the name in front."""
    text = trouble(protection)
    return None if text is None else f"{plain(protection.get('name'))}: {text}"


def replication(protection: Record) -> list[tuple[str, object]]:
    """Return how replication goes, as lines of a table; only what is told."""
    pairs: list[tuple[str, object]] = []
    progress = figures(protection)
    if progress:
        pairs.append(("progress", progress))
    if number(protection.get("sent_bytes")) is not None:
        pairs.append(("sent, on the wire", size(protection["sent_bytes"])))
    for key in ("cause", "remedy"):
        text = field(protection, "warning", key)
        if text:
            pairs.append(("warning" if key == "cause" else "warning's remedy", text))
    if "compared_at" in protection:
        at = protection["compared_at"]
        pairs.append(("last compared, equal", "never" if at is None else instant(at)))
    if protection.get("verification") is not None:
        pairs.append(("verification", _verification(protection)))
    return pairs


def placement(protection: Record) -> list[tuple[str, object]]:
    """Return what is kept where, as lines of a table; only what is told."""
    pairs: list[tuple[str, object]] = []
    if protection.get("replica_path"):
        pairs.append(("replica in", protection["replica_path"]))
    elif protection.get("storage_folder"):
        pairs.append(("storage folder", protection["storage_folder"]))
    excluded = protection.get("excluded_disks")
    if isinstance(excluded, list) and excluded:
        pairs.append(("excluded disks", ", ".join(map(plain, excluded))))
    return pairs


def _verification(protection: Record) -> str:
    seen = {
        key: field(protection, "verification", key)
        for key in ("checked_bytes", "total_bytes", "differing_bytes", "is_finished", "finished_at")
    }
    done = f"{size(seen['checked_bytes'])} of {size(seen['total_bytes'])} compared"
    differing = number(seen["differing_bytes"])
    result = "nothing differs" if differing == 0 else f"{size(differing)} differ"
    if seen["is_finished"] is not True:
        return f"{done}, {result} so far"
    return f"{done}, {result}, finished {instant(seen['finished_at'])}"
