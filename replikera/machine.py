"""What a virtual machine is made of, in words that every hypervisor shares.

A description travels in the trailer of a segment and in inventories, as canonical JSON (sorted keys, no spaces,
UTF-8), so that equal machines have equal bytes.
"""

import json
from dataclasses import asdict, dataclass

from pydantic import ConfigDict, TypeAdapter, ValidationError

MAX_DESCRIPTION_BYTES = 64 * 1024
"""A machine of 64 disks and 64 adapters needs about 20 KiB."""

MAX_DISKS = 64


class MachineDescriptionError(ValueError):
    """The bytes are not a machine description."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A virtual disk as the guest sees it; sizes in bytes.

    `disk_id` is the hypervisor's stable identity of the disk, `name` its file name without a folder.
    """

    disk_id: str
    name: str
    size: int
    logical_sector_size: int
    controller: str
    controller_number: int
    location: int
    storage_class: str = ""


@dataclass(frozen=True, slots=True)
class NetworkAdapter:
    """A virtual network adapter; `network` is empty while it is disconnected.

    `subnet` is the subnet of that network which it is on, by name; empty where the hypervisor does not tell.
    """

    nic_id: str
    name: str
    mac_address: str
    network: str
    subnet: str = ""


@dataclass(frozen=True, slots=True)
class MachineDescription:
    """A machine's hardware. `hardware_generation` is Hyper-V's 1 (BIOS) or 2 (UEFI)."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    machine_id: str
    name: str
    hardware_generation: int
    processors: int
    memory_bytes: int
    firmware: str
    disks: tuple[Disk, ...]
    nics: tuple[NetworkAdapter, ...]

    def to_json(self) -> bytes:
        """Return the canonical bytes."""
        return json.dumps(
            asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()


_ADAPTER = TypeAdapter(MachineDescription)


def parse_machine_description(data: bytes) -> MachineDescription:
    """Return the machine that `data` describes. Raises `MachineDescriptionError`."""
    if len(data) > MAX_DESCRIPTION_BYTES:
        raise MachineDescriptionError(f"description of {len(data)} bytes, limit is 64 KiB")
    try:
        machine = _ADAPTER.validate_json(data)
    except ValidationError as error:
        raise MachineDescriptionError(f"not a machine description: {error}") from error
    if len(machine.disks) > MAX_DISKS:
        raise MachineDescriptionError(f"{len(machine.disks)} disks, limit is {MAX_DISKS}")
    return machine
