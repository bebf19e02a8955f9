from dataclasses import replace

import pytest

from coordinator.domain import inventory
from coordinator.domain.errors import InvalidValueError
from coordinator.domain.identifiers import MachineId
from coordinator.domain.inventory import Inventory, Network
from tests.unit.coordinator.examples import MACHINE, SOURCE

LAN = Network("lan", SOURCE.id, is_isolated=False, subnets=())


def test_machines_may_share_a_name_but_not_an_id() -> None:
    twin = replace(MACHINE, id=MachineId("other"))
    assert len(Inventory((MACHINE, twin), (LAN,)).machines) == 2
    with pytest.raises(InvalidValueError, match="machines twice"):
        Inventory((MACHINE, MACHINE), ())


def test_networks_of_a_host_differ_by_name() -> None:
    with pytest.raises(InvalidValueError, match="networks twice"):
        Inventory((), (LAN, LAN))


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_a_machine_without_a_usable_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidValueError):
        Inventory((replace(MACHINE, name=name),), ())


def test_a_machine_without_an_id_is_refused() -> None:
    with pytest.raises(InvalidValueError):
        Inventory((replace(MACHINE, id=MachineId("")),), ())


def test_the_number_of_machines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "MAX_MACHINES", 2)
    three = tuple(replace(MACHINE, id=MachineId(str(at))) for at in range(3))
    assert len(Inventory(three[:2], ()).machines) == 2
    with pytest.raises(InvalidValueError, match="limit is 2"):
        Inventory(three, ())


@pytest.mark.parametrize("subnets", [("x" * 101,), ("web",) * 257])
def test_what_a_host_says_of_its_subnets_is_bounded(subnets: tuple[str, ...]) -> None:
    with pytest.raises(InvalidValueError, match="'lan' has too many subnets"):
        Inventory((), (replace(LAN, subnets=subnets),))
