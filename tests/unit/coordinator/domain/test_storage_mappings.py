from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain import storage_mappings
from coordinator.domain.errors import InvalidValueError, UnknownObjectError
from coordinator.domain.identifiers import HostId, StorageMappingId
from coordinator.domain.inventory import Machine
from coordinator.domain.storage_mappings import (
    DEFAULT_FOLDER,
    StorageMapping,
    StorageMappingRequest,
    choose_folder,
)
from replikera.machine import Disk
from tests.unit.coordinator.examples import DESCRIPTION, MACHINE, NOW, SOURCE, TARGET

OFFERING = replace(TARGET, replica_folders=("/r/default", "/r/gold", "/r/silver"))
REQUEST = StorageMappingRequest(SOURCE, "gold", OFFERING, "/r/gold")


def machine(*disks: tuple[str, int]) -> Machine:
    """Return a machine with disks of these classes and sizes."""
    made = tuple(
        Disk(f"disk-{at}", f"{at}.vhdx", size, 512, "scsi", 0, at, storage_class)
        for at, (storage_class, size) in enumerate(disks)
    )
    return replace(MACHINE, description=replace(DESCRIPTION, disks=made))


def mapping(storage_class: str, folder: str, secondary: HostId = TARGET.id) -> StorageMapping:
    name = StorageMappingId(f"{storage_class}-{secondary}")
    return StorageMapping(name, SOURCE.id, storage_class, secondary, folder, NOW)


GOLD, SILVER = mapping("gold", "/r/gold"), mapping("silver", "/r/silver")


def test_a_mapping_names_both_hosts_the_class_and_the_folder() -> None:
    made, decision = storage_mappings.create(StorageMappingId("s"), REQUEST, NOW)
    assert made == StorageMapping(
        StorageMappingId("s"), SOURCE.id, "gold", TARGET.id, "/r/gold", NOW
    )
    assert decision.aggregates == (made,)
    assert decision.events[0].detail == "a1, class gold, to /r/gold of b1"
    gone = storage_mappings.delete(made, SOURCE, OFFERING, NOW)
    assert gone.removed == (made,)
    assert gone.events[0].detail == "a1, class gold, to /r/gold of b1"


def test_disks_without_a_class_can_be_mapped() -> None:
    _, decision = storage_mappings.create(
        StorageMappingId("s"), replace(REQUEST, storage_class=""), NOW
    )
    assert decision.events[0].detail == "a1, disks without a class, to /r/gold of b1"


@pytest.mark.parametrize("name", [" gold", "go\nld", "x" * 101])
def test_what_cannot_be_a_class_is_refused(name: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        storage_mappings.create(StorageMappingId("s"), replace(REQUEST, storage_class=name), NOW)
    assert caught.value.field == "storage_class"


def test_a_host_is_not_mapped_to_itself() -> None:
    with pytest.raises(InvalidValueError, match="same host"):
        storage_mappings.create(StorageMappingId("s"), replace(REQUEST, secondary=SOURCE), NOW)


@pytest.mark.parametrize(
    ("host", "told"), [(OFFERING, "/r/default, /r/gold"), (TARGET, "it has told of none")]
)
def test_only_a_folder_that_the_host_offers_is_mapped_to(host: object, told: str) -> None:
    request = replace(REQUEST, secondary=host, folder="/elsewhere")  # type: ignore[arg-type]
    with pytest.raises(UnknownObjectError, match="no folder /elsewhere") as caught:
        storage_mappings.create(StorageMappingId("s"), request, NOW)
    assert told in caught.value.remedy


def test_the_folder_is_that_of_the_first_disks_class() -> None:
    choice = choose_folder(machine(("gold", 1), ("gold", 2)), SOURCE.id, OFFERING, [SILVER, GOLD])
    assert (choice.folder, choice.reason) == ("/r/gold", "storage mapping for class gold")


def test_of_several_folders_most_bytes_decide_and_that_is_told() -> None:
    found = machine(("gold", 1), ("silver", 3), ("gold", 1), ("bronze", 9))
    choice = choose_folder(found, SOURCE.id, OFFERING, [GOLD, SILVER])
    assert choice.folder == "/r/silver"
    assert choice.reason == (
        "storage mapping for class silver, to whose folder most bytes are mapped; "
        "class gold, class bronze go there too"
    )


def test_of_equal_folders_the_first_disk_decides() -> None:
    choice = choose_folder(machine(("silver", 2), ("gold", 2)), SOURCE.id, OFFERING, [GOLD, SILVER])
    assert choice.folder == "/r/silver"


def test_classes_with_one_folder_count_together() -> None:
    both = [GOLD, replace(SILVER, folder="/r/gold"), mapping("bronze", "/r/silver")]
    found = machine(("bronze", 3), ("gold", 2), ("silver", 2))
    assert choose_folder(found, SOURCE.id, OFFERING, both).folder == "/r/gold"


def test_without_a_mapping_it_is_the_default_path_and_why() -> None:
    elsewhere = mapping("gold", "/r/gold", HostId("other"))
    choice = choose_folder(machine(("gold", 1), ("", 1)), SOURCE.id, OFFERING, [elsewhere])
    assert choice.folder == DEFAULT_FOLDER
    assert choice.reason == (
        "default path, because no storage mapping for class gold, disks without a class"
    )
    back = choose_folder(machine(("gold", 1)), HostId("other"), OFFERING, [GOLD])
    assert back.reason == "default path, because no storage mapping for class gold"


def test_a_folder_that_is_gone_is_not_chosen_and_named() -> None:
    choice = choose_folder(machine(("gold", 1)), SOURCE.id, TARGET, [GOLD])
    assert choice.folder == DEFAULT_FOLDER
    assert choice.reason == (
        "default path, because host b1 offers no folder /r/gold, mapped for class gold"
    )


def test_disks_that_are_not_replicated_do_not_count() -> None:
    found = machine(("gold", 1), ("silver", 3))
    choice = choose_folder(found, SOURCE.id, OFFERING, [GOLD, SILVER], excluded_disk_ids={"disk-1"})
    assert (choice.folder, choice.reason) == ("/r/gold", "storage mapping for class gold")
    nothing = choose_folder(
        found, SOURCE.id, OFFERING, [GOLD], excluded_disk_ids={"disk-0", "disk-1"}
    )
    assert nothing.reason == "default path, because the machine has no disk"


@given(
    st.lists(st.tuples(st.sampled_from(["gold", "silver", "", "bronze"]), st.integers(1, 9))),
    st.dictionaries(
        st.sampled_from(["gold", "silver", "", "bronze"]),
        st.sampled_from(["/r/default", "/r/gold", "/r/silver", "/gone"]),
    ),
)
def test_the_choice_is_a_folder_that_is_offered_and_mapped_to_most(
    disks: list[tuple[str, int]], folders: dict[str, str]
) -> None:
    mappings = [mapping(name, folder) for name, folder in folders.items()]
    choice = choose_folder(machine(*disks), SOURCE.id, OFFERING, mappings)
    carried = {
        folder: sum(size for name, size in disks if folders.get(name) == folder)
        for folder in OFFERING.replica_folders
    }
    if choice.folder == DEFAULT_FOLDER:
        assert not any(carried.values())
    else:
        assert carried[choice.folder] == max(carried.values()) > 0
    assert choice.reason
    assert not choice.reason.endswith(".")
