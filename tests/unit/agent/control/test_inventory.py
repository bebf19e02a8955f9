import asyncio
from pathlib import Path
from typing import Self

import pytest

from agent.control import inventory as inventory_module
from agent.control.backlog import Backlog
from agent.control.inventory import POLL_SECONDS, InventoryReports
from agent.hypervisor.interface import HypervisorError, Machine
from replikera.machine import parse_machine_description
from replikera.wire.v1 import session_pb2
from tests.unit.agent.fakes import FakeHypervisor, ManualClock, description, settle

WEB01 = Machine(description(), is_running=True, tag="")


class Looking:
    """Polls a fake hypervisor while the block lasts."""

    def __init__(self, folder: Path) -> None:
        self.hypervisor = FakeHypervisor(folder)
        self.hypervisor.add_foreign(WEB01)
        self.backlog = Backlog()
        self.clock = ManualClock()
        self._stack = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        reports = InventoryReports(self.hypervisor, self.backlog, self.clock)
        self._task = self._stack.create_task(reports.run())
        await settle()
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._task.cancel()
        await self._stack.__aexit__(None, None, None)

    def reported(self) -> list[session_pb2.Inventory]:
        return [message.inventory for message in self.backlog.take(0)]


async def test_machines_and_networks_are_reported_as_they_are(tmp_path: Path) -> None:
    async with Looking(tmp_path) as looking:
        (inventory,) = looking.reported()
    (machine,) = inventory.machines
    assert (machine.machine_id, machine.name, machine.is_running) == ("source-web01", "web01", True)
    assert parse_machine_description(machine.description) == WEB01.description
    assert {network.name: network.is_isolated for network in inventory.networks} == {
        "LAN": False,
        "Test": True,
    }


async def test_only_changes_are_reported(tmp_path: Path) -> None:
    async with Looking(tmp_path) as looking:
        looking.reported()
        await looking.clock.advance(POLL_SECONDS)
        assert looking.reported() == []
        looking.hypervisor.machines.clear()
        await looking.clock.advance(POLL_SECONDS)
        (inventory,) = looking.reported()
        assert list(inventory.machines) == []


async def test_hypervisor_in_trouble_is_asked_again(tmp_path: Path) -> None:
    async with Looking(tmp_path) as looking:
        looking.reported()
        looking.hypervisor.inventory_error = HypervisorError("x", "It is down.", "Start it.")
        looking.hypervisor.machines.clear()
        await looking.clock.advance(POLL_SECONDS)
        assert looking.reported() == []
        looking.hypervisor.inventory_error = None
        await looking.clock.advance(POLL_SECONDS)
        assert len(looking.reported()) == 1


async def test_inventory_beyond_a_message_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory_module, "MAX_INVENTORY_BYTES", 100)
    async with Looking(tmp_path) as looking:
        assert looking.reported() == []
        looking.hypervisor.machines.clear()
        await looking.clock.advance(POLL_SECONDS)
        assert len(looking.reported()) == 1
