"""Hosts as tables."""

from rich.console import Group, RenderableType

from replikera.cli.output import properties, table
from replikera.cli.records import Record, records
from replikera.cli.wording import instant, plain

COLUMNS = (
    "host",
    "site",
    "cloud",
    "hypervisor",
    "state",
    "last seen",
    "replication address",
    "agent",
)


def row(host: Record) -> tuple[object, ...]:
    """Return a host's line in a list."""
    return (
        host.get("name"),
        host.get("site"),
        host.get("cloud") or "-",
        host.get("hypervisor"),
        host.get("state"),
        instant(host.get("last_seen_at")),
        host.get("replication_address"),
        host.get("agent_version"),
    )


def render_host(host: Record) -> RenderableType:
    """Return one host, with its certificates where they are told."""
    pairs: list[tuple[str, object]] = list(zip(COLUMNS, row(host), strict=True))
    pairs += [(key, host[key]) for key in ("cause", "remedy") if host.get(key)]
    pairs += [
        ("registered", instant(host.get("registered_at"))),
        ("deny-list", host.get("deny_list_version")),
        ("id", host.get("id")),
    ]
    folders = host.get("replica_folders")
    if isinstance(folders, list):
        told = ", ".join(plain(folder) for folder in folders)
        pairs.append(("replica folders", told or "none told"))
        pairs.append(("recovered disks", host.get("storage_path") or "not told"))
    found = records(host, "certificates")
    if not found:
        return properties(pairs)
    rows = [
        (
            certificate.get("serial"),
            certificate.get("state"),
            instant(certificate.get("issued_at")),
            instant(certificate.get("not_after")),
        )
        for certificate in found
    ]
    return Group(properties(pairs), "", table(("certificate", "state", "issued", "ends"), rows))
