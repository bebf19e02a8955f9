"""The agent's settings file."""

import platform
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from agent.hypervisor.simulated.driver import SimulatedSettings
from agent.replica.folders import StorageFolders
from agent.source.host import ViewLimits
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
class SourceSettings:
    """`[source]`: bounds of what a frozen view may cost the storage of the machine that it is of.

    view_max_age_seconds: a view that is older is given up or, in a long transfer, replaced. 1 to 86,400.
    view_max_growth_bytes: so is one that holds more than this beside the live disks. At least 64 MiB.
    """

    __pydantic_config__ = FORBID_UNKNOWN

    view_max_age_seconds: Annotated[int, Field(ge=1, le=86_400)] = 3600
    view_max_growth_bytes: Annotated[int, Field(ge=64 << 20, le=1 << 50)] = 10 << 30


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """`[storage]`: where this host keeps what other hosts send. What is left out is below the state directory.

    replica_folders: folders for replicas, the first is the default; storage mappings name one of them.
    seed_folder: images that new replicas may be filled from. Without it the host takes no seeds.
    export_folder: where the disks of removed replicas are kept when an operator asks for that.
    """

    __pydantic_config__ = FORBID_UNKNOWN

    replica_folders: Annotated[tuple[Path, ...], Field(min_length=1, max_length=64)] | None = None
    seed_folder: Path | None = None
    export_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The whole file. log_level: "debug", "info" (default) or "warning"."""

    __pydantic_config__ = FORBID_UNKNOWN

    agent: HostSettings
    replication: ReplicationSettings
    hypervisor: HypervisorSettings
    source: SourceSettings = SourceSettings()
    storage: StorageSettings = StorageSettings()
    log_level: Literal["debug", "info", "warning"] = "info"

    @property
    def folders(self) -> StorageFolders:
        """Return where replicas, seeds and kept disks are to be."""
        state, storage = self.agent.state_directory, self.storage
        return StorageFolders(
            replicas=storage.replica_folders or (state / "replicas",),
            exports=storage.export_folder or state / "exports",
            seeds=storage.seed_folder,
        )

    @property
    def view_limits(self) -> ViewLimits:
        """Return what a view may cost its machine's storage."""
        return ViewLimits(
            max_age=timedelta(seconds=self.source.view_max_age_seconds),
            max_growth_bytes=self.source.view_max_growth_bytes,
        )


def load_agent_settings(files: Files, path: Path) -> AgentSettings:
    """Return the file's settings with absolute paths. Raises `SettingsError`."""
    settings = load_settings(files, path, AgentSettings)
    host, driver, storage = settings.agent, settings.hypervisor.simulated, settings.storage
    return replace(
        settings,
        agent=replace(host, state_directory=host.state_directory.absolute()),
        hypervisor=replace(
            settings.hypervisor, simulated=replace(driver, root=driver.root.absolute())
        ),
        storage=StorageSettings(
            replica_folders=_all_absolute(storage.replica_folders),
            seed_folder=_absolute(storage.seed_folder),
            export_folder=_absolute(storage.export_folder),
        ),
    )


def _all_absolute(paths: tuple[Path, ...] | None) -> tuple[Path, ...] | None:
    return None if paths is None else tuple(path.absolute() for path in paths)


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()
