from dataclasses import replace

import pytest

from coordinator.domain.disk_choice import check_seeds, excluded_disk_ids
from coordinator.domain.errors import InvalidValueError
from coordinator.domain.orders import Seed
from replikera.machine import Disk
from tests.unit.coordinator.examples import DESCRIPTION
from tests.unit.coordinator.examples import MACHINE as SMALL

MACHINE = replace(
    SMALL,
    description=replace(
        DESCRIPTION,
        disks=(*DESCRIPTION.disks, Disk("disk-2", "swap.vhdx", 1 << 30, 512, "scsi", 0, 1)),
    ),
)


def test_disks_are_left_out_by_id_or_by_file_name() -> None:
    assert excluded_disk_ids(MACHINE, ["disk-2"]) == ("disk-2",)
    assert excluded_disk_ids(MACHINE, ["swap.vhdx"]) == ("disk-2",)
    assert excluded_disk_ids(MACHINE, []) == ()


@pytest.mark.parametrize(
    ("names", "code"), [(["disk-3"], "unknown-disk"), (["disk-1", "disk-2"], "no-disk-left")]
)
def test_disks_that_cannot_be_left_out_are_refused(names: list[str], code: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        excluded_disk_ids(MACHINE, names)
    assert (caught.value.code, caught.value.field) == (code, "excluded_disks")


@pytest.mark.parametrize(
    ("seeds", "code"),
    [
        ([Seed("other.vhdx", "a")], "unknown-disk"),
        ([Seed("swap.vhdx", "a")], "unknown-disk"),
        ([Seed("system.vhdx", "../a")], "invalid-seed"),
        ([Seed("system.vhdx", "..")], "invalid-seed"),
        ([Seed("system.vhdx", "")], "invalid-seed"),
        ([Seed("system.vhdx", "a"), Seed("system.vhdx", "b")], "invalid-seed"),
    ],
)
def test_seeds_are_files_of_disks_that_are_replicated(seeds: list[Seed], code: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_seeds(MACHINE, seeds, ("disk-2",))
    assert (caught.value.code, caught.value.field) == (code, "seeds")


def test_a_seed_is_a_file_of_the_seed_folder() -> None:
    check_seeds(MACHINE, [Seed("system.vhdx", "web-system.vhdx")], ())
