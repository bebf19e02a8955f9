"""The disks of a rehearsal stand on a base that is kept for them."""

from pathlib import Path

import pytest

from agent.failover.children import ChildDisks
from agent.failover.disks import DiskFolders
from agent.failover.outcome import RehearsalError
from agent.replica.errors import ReplicaError
from tests.unit.agent.failover.test_rehearsal import PROTECTION, REHEARSAL, REQUEST, Site
from tests.unit.agent.fakes import FakeReplica, InlineWorker


def refused(protection_id: str) -> FakeReplica:
    raise ReplicaError("replica-damaged", f"{protection_id} is damaged.", "Resync.")


def children(site: Site) -> ChildDisks:
    folders = DiskFolders(site.files, InlineWorker(), site.hypervisor.storage_path)
    return ChildDisks(folders, lambda _: site.replica)


async def test_the_point_is_pinned_before_there_is_a_folder(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.files.free = 0
    with pytest.raises(RehearsalError) as caught:
        await children(site).make(REQUEST, site.replica)
    assert caught.value.code == "disk-full"
    assert site.replica.pinned == {REHEARSAL: 7}


async def test_disks_are_made_again_for_the_same_pin(tmp_path: Path) -> None:
    site = Site(tmp_path)
    first = await children(site).make(REQUEST, site.replica)
    for disk in first:
        disk.path.unlink()
    assert await children(site).make(REQUEST, site.replica) == first
    assert site.replica.pinned == {REHEARSAL: 7}


async def test_of_a_replica_that_does_not_open_nothing_is_released_yet(tmp_path: Path) -> None:
    site = Site(tmp_path)
    folders = DiskFolders(site.files, InlineWorker(), site.hypervisor.storage_path)
    await ChildDisks(folders, refused).release(REHEARSAL, PROTECTION)
    with pytest.raises(ReplicaError, match="is damaged"):
        ChildDisks(folders, refused).replica_of(REQUEST)
