"""Test failovers as tables."""

from rich.console import Group, RenderableType

from replikera.cli.mapping_view import NIC_COLUMNS, nic_row
from replikera.cli.output import properties, table
from replikera.cli.records import Record, field, records
from replikera.cli.wording import duration, instant, measured, plain, precise_instant, size


def point(rehearsal: Record) -> str:
    """Return the recovery point's number."""
    return plain(field(rehearsal, "point", "sequence"))


def guest(rehearsal: Record) -> str:
    """Return how the guest is; "not asked" where nobody has yet."""
    if rehearsal.get("guest") is None:
        return "not asked"
    is_healthy = field(rehearsal, "guest", "is_healthy")
    if not isinstance(is_healthy, bool):
        return "unknown"
    return "healthy" if is_healthy else "critical"


def render_rehearsal(rehearsal: Record) -> RenderableType:
    """Return one test failover with its disks, adapters and measured steps."""
    parts = [properties(_pairs(rehearsal))]
    disks = [
        (disk.get("disk_id"), size(disk.get("size")), disk.get("path"))
        for disk in records(rehearsal, "disks")
    ]
    nics = [
        (nic.get("nic_id"), nic.get("network") or "disconnected")
        for nic in records(rehearsal, "nics")
    ]
    steps = [
        (step.get("name"), measured(step.get("seconds"))) for step in records(rehearsal, "steps")
    ]
    for columns, rows in (
        (("disk", "size", "path"), disks),
        (("adapter", "network"), nics),
        (("step", "took"), steps),
    ):
        if rows:
            parts.append(Group("", table(columns, rows)))
    return Group(*parts)


def render_plan(plan: Record) -> RenderableType:
    """Return what a test failover would do."""
    pairs = [
        ("vm", plan.get("protection")),
        ("target host", plan.get("target_host")),
        ("disks go to", plan.get("storage_path") or "not told by the host's agent"),
        ("point", point(plan)),
        ("captured from", precise_instant(plan.get("captured_at"))),
        ("expected data loss", duration(plan.get("expected_loss_seconds"))),
    ]
    created = plan.get("created_networks")
    if isinstance(created, list) and created:
        pairs.append(("networks made for it", ", ".join(plain(name) for name in created)))
    rows = [nic_row(nic) for nic in records(plan, "nics")]
    return Group(properties(pairs), "", table(NIC_COLUMNS, rows)) if rows else properties(pairs)


def _pairs(rehearsal: Record) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = [
        ("test failover", rehearsal.get("id")),
        ("vm", rehearsal.get("protection")),
        ("point", point(rehearsal)),
        ("machine", rehearsal.get("machine_name")),
        ("state", rehearsal.get("state")),
        ("guest", guest(rehearsal)),
    ]
    summary = field(rehearsal, "guest", "summary")
    if summary:
        pairs.append(("guest says", summary))
    pairs += [(key, rehearsal[key]) for key in ("cause", "remedy") if rehearsal.get(key)]
    pairs.append(("successful", rehearsal.get("is_successful")))
    if rehearsal.get("state") in {"started", "failed"}:
        pairs.append(("cleaned up by itself", instant(rehearsal.get("ends_at"))))
    removed = rehearsal.get("removed")
    if isinstance(removed, list) and removed:
        pairs.append(("removed", ", ".join(plain(item) for item in removed)))
    if rehearsal.get("notes"):
        pairs.append(("notes", rehearsal["notes"]))
    return pairs
