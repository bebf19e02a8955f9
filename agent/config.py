"""The agent's settings file."""

import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import StringConstraints

from agent.hypervisor.simulated.driver import SimulatedSettings
from replikera.ports.files import Files
from replikera.settings import FORBID_UNKNOWN, Endpoint, load_settings

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


@dataclass(frozen=True, slots=True)
class HostSettings:
    """`[agent]`: this host.

    state_directory: folder of identity, orders, replicas and positions; only the agent's user may read it. Replicas
        are here: it belongs on the volume that has room for them.
    name: how operators call the host. Without it the machine's own name.
    cloud: the named group of hosts that it belongs to, none without it.
    """

    __pydantic_config__ = FORBID_UNKNOWN

    state_directory: Path
    name: Name | None = None
    cloud: Name | None = None

    @property
    def host_name(self) -> str:
        """Return how operators call the host."""
        return self.name or platform.node()


@dataclass(frozen=True, slots=True)
class ReplicationSettings:
    """`[replication]`: the listener for agents of other hosts.

    listen: address and port of this machine to listen on.
    address: how the other hosts reach it.
    """

    __pydantic_config__ = FORBID_UNKNOWN

    listen: Endpoint
    address: Endpoint


@dataclass(frozen=True, slots=True)
class HypervisorSettings:
    """`[hypervisor]`: the driver by its `kind`, and a table of that name with its own settings."""

    __pydantic_config__ = FORBID_UNKNOWN

    kind: Literal["simulated"]
    simulated: SimulatedSettings


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The whole file. log_level: "debug", "info" (default) or "warning"."""

    __pydantic_config__ = FORBID_UNKNOWN

    agent: HostSettings
    replication: ReplicationSettings
    hypervisor: HypervisorSettings
    log_level: Literal["debug", "info", "warning"] = "info"

    @property
    def host_facts(self) -> tuple[str, str, str]:
        """Return the host's name, cloud, and address for replication."""
        return self.agent.host_name, self.agent.cloud or "", self.replication.address


def load_agent_settings(files: Files, path: Path) -> AgentSettings:
    """Return the file's settings with absolute paths. Raises `SettingsError`."""
    settings = load_settings(files, path, AgentSettings)
    host, driver = settings.agent, settings.hypervisor.simulated
    return replace(
        settings,
        agent=replace(host, state_directory=host.state_directory.absolute()),
        hypervisor=replace(
            settings.hypervisor, simulated=replace(driver, root=driver.root.absolute())
        ),
    )
