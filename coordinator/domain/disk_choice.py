"""Which disks of a machine are replicated, and which are filled from a seed at the target."""

from collections.abc import Collection

from coordinator.domain.errors import InvalidValueError
from coordinator.domain.inventory import Machine
from coordinator.domain.orders import Seed

MAX_FILE_NAME = 255


def excluded_disk_ids(machine: Machine, names: Collection[str]) -> tuple[str, ...]:
    """Return the ids of the disks that are left out, named by id or by file name. Raises `InvalidValueError`."""
    disks = machine.description.disks
    unknown = sorted(set(names) - {disk.disk_id for disk in disks} - {disk.name for disk in disks})
    if unknown:
        raise _unknown(machine, unknown[0], "excluded_disks")
    found = tuple(disk.disk_id for disk in disks if disk.disk_id in names or disk.name in names)
    if disks and len(found) == len(disks):
        raise InvalidValueError(
            "no-disk-left",
            f"Machine {machine.name} would be replicated without any disk.",
            "Leave at least one disk in.",
            field="excluded_disks",
        )
    return found


def check_seeds(machine: Machine, seeds: Collection[Seed], excluded: Collection[str]) -> None:
    """Refuse seeds of disks that are not replicated, and what is no file's name. Raises `InvalidValueError`."""
    names = [disk.name for disk in machine.description.disks if disk.disk_id not in excluded]
    for seed in seeds:
        if seed.disk_name not in names:
            raise _unknown(machine, seed.disk_name, "seeds")
        if not _is_file_name(seed.file_name):
            raise InvalidValueError(
                "invalid-seed",
                f"{seed.file_name[:MAX_FILE_NAME]!r} is not the name of a file in a seed folder.",
                "Name the file alone, without a folder; it lies in the seed folder of the target host.",
                field="seeds",
            )
    if len({seed.disk_name for seed in seeds}) < len(seeds):
        raise InvalidValueError(
            "invalid-seed",
            f"A disk of machine {machine.name} has more than one seed.",
            "Name one file for each disk.",
            field="seeds",
        )


def _is_file_name(name: str) -> bool:
    is_plain = name.isprintable() and not set(name) & set("/\\")
    return is_plain and 0 < len(name) <= MAX_FILE_NAME and name not in (".", "..")


def _unknown(machine: Machine, name: str, field: str) -> InvalidValueError:
    return InvalidValueError(
        "unknown-disk",
        f"Machine {machine.name} replicates no disk {name[:MAX_FILE_NAME]}.",
        f"See its disks: replikera vm show {machine.name}.",
        field=field,
    )
