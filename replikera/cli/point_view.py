"""Recovery points as tables."""

from collections.abc import Sequence

from rich.console import Group, RenderableType

from replikera.cli.output import properties, table
from replikera.cli.records import Record, field
from replikera.cli.wording import duration, instant, number, plain, precise_instant, size

COLUMNS = ("point", "kind", "name", "captured from", "to", "sealed", "payload", "kept until")


def row(point: Record) -> tuple[object, ...]:
    """Return a point's line in a list."""
    return (
        point.get("sequence"),
        "doubtful" if point.get("is_doubtful") is True else point.get("kind"),
        point.get("name") or "-",
        precise_instant(point.get("capture_started_at")),
        precise_instant(point.get("capture_ended_at")),
        precise_instant(point.get("sealed_at")),
        size(point.get("payload_bytes")),
        _end(point),
    )


def render_point(point: Record) -> RenderableType:
    """Return one point."""
    return properties([*zip(COLUMNS, row(point), strict=True), ("id", point.get("id"))])


def render_retention(retention: Record) -> RenderableType:
    """Return how far back the points of a protection reach."""
    hours = number(retention.get("retention_hours"))
    return properties(
        [
            ("policy", retention.get("policy")),
            ("retention", duration(None if hours is None else hours * 3600)),
            ("points", retention.get("count")),
            ("payload", size(retention.get("payload_bytes"))),
            ("oldest", _named(retention, "oldest")),
            ("newest", _named(retention, "newest")),
            (
                "newest application-consistent",
                _named(retention, "newest_application_consistent"),
            ),
        ]
    )


def render_digests(disks: Sequence[Record]) -> RenderableType:
    """Return what the disks of a point hold."""
    rows = [
        (disk.get("disk_id"), disk.get("name"), size(disk.get("size")), disk.get("sha256"))
        for disk in disks
    ]
    return Group(table(("disk", "name", "size", "sha-256"), rows))


def _end(point: Record) -> str:
    if "retained_until" in point and point["retained_until"] is None:
        return "newest"
    return instant(point.get("retained_until"))


def _named(retention: Record, key: str) -> str:
    if key in retention and retention[key] is None:
        return "none"
    at = precise_instant(field(retention, key, "capture_ended_at"))
    return f"{plain(field(retention, key, 'sequence'))} at {at}"
