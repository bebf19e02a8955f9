from pathlib import Path

import pytest

from agent.failover.disks import DiskFolders
from agent.failover.outcome import RehearsalError
from agent.failover.removal import MAX_ROUNDS, Removal
from agent.hypervisor.interface import Machine
from tests.unit.agent.fakes import (
    AutoClock,
    FakeHypervisor,
    FusedFiles,
    InlineWorker,
    description,
)

TAG = "11111111-0000-4000-8000-000000000001"


class Host:
    def __init__(self, folder: Path) -> None:
        self.hypervisor = FakeHypervisor(folder)
        self.clock = AutoClock()
        self.folder = folder / "rehearsals" / TAG
        disks = DiskFolders(FusedFiles(), InlineWorker(), folder)
        self.removal = Removal(self.hypervisor, disks, self.clock)

    def add(self, machine_id: str, tag: str) -> None:
        machine = Machine(description(f"name of {machine_id}", machine_id), True, tag)
        self.hypervisor.add_foreign(machine)

    def add_disk(self, name: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text("x")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


async def test_everything_with_the_tag_goes_and_nothing_else(host: Host) -> None:
    for machine_id, tag in (("a", TAG), ("b", TAG), ("c", ""), ("d", TAG[:-1] + "2")):
        host.add(machine_id, tag)
    host.add_disk("x.vhdx")
    remains = await host.removal.remains(TAG)
    assert remains.names == (
        "machine name of a",
        "machine name of b",
        str(host.folder / "x.vhdx"),
        str(host.folder),
    )
    await host.removal.remove_all(TAG)
    assert not await host.removal.remains(TAG)
    assert set(host.hypervisor.machines) == {"c", "d"}
    assert all(machine.is_running for machine in host.hypervisor.machines.values())


async def test_nothing_there_is_nothing_to_do(host: Host) -> None:
    await host.removal.remove_all(TAG)
    assert host.clock.elapsed == 0


async def test_machine_that_goes_late_is_waited_for(host: Host) -> None:
    host.add("a", TAG)
    host.hypervisor.refuses_removal = True
    sleep = host.clock.sleep

    async def then_it_goes(seconds: float) -> None:
        host.hypervisor.refuses_removal = False
        await sleep(seconds)

    host.clock.sleep = then_it_goes  # type: ignore[method-assign]  # the moment it lets go
    await host.removal.remove_all(TAG)
    assert host.hypervisor.machines == {}


async def test_what_stays_is_named_after_a_bounded_number_of_tries(host: Host) -> None:
    host.add("a", TAG)
    host.add_disk("x.vhdx")
    host.hypervisor.refuses_removal = True
    with pytest.raises(RehearsalError, match="still shows: machine name of a\\.") as caught:
        await host.removal.remove_all(TAG)
    assert caught.value.code == "clean-up-incomplete"
    assert host.clock.elapsed == MAX_ROUNDS
