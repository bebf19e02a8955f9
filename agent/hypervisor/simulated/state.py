"""The small JSON files that a simulated host consists of, and how they are read and written."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from agent.hypervisor.guest_address import GuestAddress
from agent.hypervisor.interface import Consistency, HypervisorError
from replikera.durable import write_durably
from replikera.machine import Disk, MachineDescription
from replikera.ports.files import Files

T = TypeVar("T")

_MAX_FILE_BYTES = 1 << 20
"""A machine of 64 disks and adapters needs about 30 KiB."""

STRICT = ConfigDict(extra="forbid", strict=True)
"""How every state file is read: nothing unknown, nothing converted."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True, config=STRICT)
class NetworkEntry:
    """One virtual network of networks.json. `tag` is empty for the host's own."""

    name: str
    is_isolated: bool
    subnets: tuple[str, ...]
    tag: str = ""


@dataclass(frozen=True, slots=True, config=STRICT)
class NetworksFile:
    """networks.json: all networks of the host."""

    networks: tuple[NetworkEntry, ...]


@dataclass(frozen=True, slots=True, config=STRICT)
class DetachedDisk:
    """A disk that was taken from its machine, and where its file is."""

    disk: Disk
    path: str


@dataclass(frozen=True, slots=True, config=STRICT)
class AdapterAddress:
    """What the guest is to give an adapter."""

    nic_id: str
    address: GuestAddress


@dataclass(frozen=True, slots=True, config=STRICT)
class MachineFile:
    """machine.json. `disk_paths` follow the description's disks; relative ones start at the machine's folder.

    `starts_with_host` is the owner's decision, `auto_start_blocks` are the tags that overrule it. `detached_disks` come
    back in their order.
    """

    tag: str
    starts_with_host: bool
    description: MachineDescription
    disk_paths: tuple[str, ...]
    auto_start_blocks: tuple[str, ...] = ()
    detached_disks: tuple[DetachedDisk, ...] = ()
    guest_addresses: tuple[AdapterAddress, ...] = ()

    @property
    def is_auto_started(self) -> bool:
        """Tell whether the machine is started when its host starts."""
        return self.starts_with_host and not self.auto_start_blocks

    def with_sizes(self, sizes: Mapping[str, int]) -> "MachineFile":
        """Return the machine with disks of these sizes, by disk id."""
        disks = tuple(replace(disk, size=sizes[disk.disk_id]) for disk in self.description.disks)
        return replace(self, description=replace(self.description, disks=disks))


@dataclass(frozen=True, slots=True, config=STRICT)
class Position:
    """A place in a machine's tracking logs: the end of log `number`, known by its random `log_id`."""

    number: int
    log_id: str


@dataclass(frozen=True, slots=True, config=STRICT)
class DiskIdentity:
    """What must stay the same between a mark and a view for changed ranges to mean anything."""

    disk_id: str
    file_id: str
    size: int


@dataclass(frozen=True, slots=True, config=STRICT)
class ViewFile:
    """view.json: a view exists once this file is in its folder, beside one `<disk id>.vhdx` for every disk."""

    view_id: str
    tag: str
    description: MachineDescription
    taken_at: datetime
    position: Position
    identities: tuple[DiskIdentity, ...]
    consistency: Consistency = Consistency.CRASH
    fallback: str = ""


@dataclass(frozen=True, slots=True, config=STRICT)
class MarkFile:
    """marks/<tag>.json. A mark's id is the id of the view that it was."""

    mark_id: str
    tag: str
    position: Position
    identities: tuple[DiskIdentity, ...]


@dataclass(frozen=True, slots=True, config=STRICT)
class PowerFile:
    """power.json: the start that is wanted; empty while the machine is to be off."""

    start_id: str


@dataclass(frozen=True, slots=True, config=STRICT)
class GuestFile:
    """guest.json: what the guest of one start says of itself."""

    start_id: str
    process_id: int
    is_answering: bool
    is_healthy: bool
    summary: str
    records: int


@dataclass(frozen=True, slots=True, config=STRICT)
class EffectFile:
    """effect.json: a change that was begun. It happened if `evidence`, a path below the host's, holds `digest`.

    `digest` is the SHA-256 of the file's content, empty where the file is gone. `log_size` is that of effects.log
    before the change.
    """

    effect_id: str
    begun_at: str
    effect: str
    subject: str
    tag: str
    evidence: str
    digest: str
    log_size: int


class StateFile(Generic[T]):
    """One kind of state file."""

    def __init__(self, kind: type[T]) -> None:
        self._adapter = TypeAdapter(kind)

    def load(self, files: Files, path: Path) -> T | None:
        """Return what a file holds, None where there is none.

        Raises `HypervisorError` (code "bad-state-file").
        """
        try:
            return self._adapter.validate_json(files.read_bytes(path, limit=_MAX_FILE_BYTES))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, OSError) as error:
            raise HypervisorError(
                "bad-state-file",
                f"{path} cannot be used: {_first_problem(error)}.",
                "Repair the file, or remove the folder it is in and create its machine again.",
            ) from error

    def encode(self, value: T) -> bytes:
        """Return the content that a file with this value has."""
        return self._adapter.dump_json(value, indent=2)

    def save(self, files: Files, path: Path, value: T) -> None:
        """Replace a file, atomically and durably."""
        write_durably(files, path, self.encode(value))


NETWORKS = StateFile(NetworksFile)
MACHINE = StateFile(MachineFile)
VIEW = StateFile(ViewFile)
MARK = StateFile(MarkFile)
POWER = StateFile(PowerFile)
GUEST = StateFile(GuestFile)
EFFECT = StateFile(EffectFile)


def is_file_name(name: str) -> bool:
    """Tell whether `name` may name a file."""
    return _SAFE_NAME.fullmatch(name) is not None


def check_file_name(what: str, name: str) -> str:
    """Return `name` when it may name a file. Raises `HypervisorError` (code "bad-name")."""
    if not is_file_name(name):
        raise HypervisorError(
            "bad-name",
            f"{name!r} cannot be the {what}.",
            "Use letters, digits, dots, dashes and underscores, at most 128 of them.",
        )
    return name


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        return f"{place}: {first['msg']}"
    return str(error)
