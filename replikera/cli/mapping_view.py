"""Mappings as tables."""

from collections.abc import Iterable

from rich.console import Group, RenderableType

from replikera.cli.output import Output, properties, table
from replikera.cli.records import Record, field, records
from replikera.cli.wording import plain

NIC_COLUMNS = ("adapter", "network", "subnet", "rule")


def nic_row(nic: Record) -> tuple[object, ...]:
    """Return where an adapter goes, as a line of a table."""
    return (
        nic.get("nic_id"),
        nic.get("network") or "disconnected",
        nic.get("subnet") or "-",
        nic.get("rule"),
    )


def render_placement(placement: Record) -> RenderableType:
    """Return where a machine would go at a host."""
    pairs = [
        ("vm", placement.get("machine")),
        ("target host", placement.get("target_host")),
        ("folder", field(placement, "storage", "folder") or "the host's default"),
        ("folder chosen by", field(placement, "storage", "reason")),
    ]
    rows = [nic_row(nic) for nic in records(placement, "nics")]
    if not rows:
        return properties(pairs)
    return Group(properties(pairs), "", table(NIC_COLUMNS, rows))


def concerns(mapping: Record) -> list[tuple[str, object]]:
    """Return what is wrong with a mapping, as lines of a table; none while nothing is."""
    return [(key, mapping[key]) for key in ("cause", "remedy") if mapping.get(key)]


def tell_concerned(output: Output, names: Iterable[object], consequence: str) -> None:
    """Tell a person which protections a change concerns; `consequence` is what follows for them."""
    listed = ", ".join(plain(name) for name in names)
    if listed:
        output.message(f"It concerns the protections of {listed}: {consequence}.")
    else:
        output.message("It concerns no protection.")
