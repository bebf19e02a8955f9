"""The settings files of the lab's three daemons."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from replikera.durable import write_durably
from replikera.lab.folder import LabFolder, SiteFolder
from replikera.ports.files import Files

PORTS_NEEDED = 5

KEPT_VIEWS = 20
"""How many ended views the source keeps for the comparison with the latest point: forty seconds of cycles. Under a
workload each takes the space of a whole disk."""


@dataclass(frozen=True, slots=True)
class LoopbackPorts:
    """The loopback ports of one lab. `secondary_door`: where the secondary host is reached, 0 for where it listens."""

    enrolment: int
    session: int
    api: int
    primary: int
    secondary: int
    secondary_door: int = 0


def write_settings(
    files: Files, folder: LabFolder, ports: LoopbackPorts, *, kept_views: int = KEPT_VIEWS
) -> None:
    """Write the settings of the coordinator and of both agents."""
    coordinator: dict[str, dict[str, str | int]] = {
        "vault": {
            "state_directory": str(folder.vault_state),
            "passphrase_file": str(folder.coordinator_settings.parent / "passphrase"),
        },
        "enrolment": _listener(ports.enrolment),
        "session": _listener(ports.session),
        "api": _listener(ports.api),
    }
    write_durably(files, folder.coordinator_settings, _toml(coordinator))
    _write_agent(files, folder.primary, _listener(ports.primary), kept_views)
    _write_agent(files, folder.secondary, _listener(ports.secondary, ports.secondary_door), 0)


def host_name(site: SiteFolder) -> str:
    """Return the name of the site's one host."""
    return f"{site.site}-host"


def _write_agent(
    files: Files, site: SiteFolder, listener: dict[str, str | int], kept_views: int
) -> None:
    agent: dict[str, dict[str, str | int]] = {
        "agent": {"name": host_name(site), "state_directory": str(site.state)},
        "replication": listener,
        "hypervisor": {"kind": "simulated"},
        "hypervisor.simulated": {"root": str(site.hypervisor), "keep_views": kept_views},
    }
    write_durably(files, site.settings, _toml(agent))


def _listener(port: int, door: int = 0) -> dict[str, str | int]:
    return {"listen": f"127.0.0.1:{port}", "address": f"127.0.0.1:{door or port}"}


def _toml(tables: Mapping[str, Mapping[str, str | int]]) -> bytes:
    lines: list[str] = []
    for table, entries in tables.items():
        lines.append(f"[{table}]")
        # JSON's strings and integers are written as TOML's are.
        lines += [f"{key} = {json.dumps(value)}" for key, value in entries.items()]
        lines.append("")
    return "\n".join(lines).encode()
