from collections.abc import Mapping

import pytest

from agent.failover.isolation import check_isolation
from agent.failover.outcome import RehearsalError
from agent.hypervisor.interface import Inventory, Machine, Network
from tests.unit.agent.fakes import description

NETWORKS = (
    Network("LAN", is_isolated=False, subnets=()),
    Network("Test", is_isolated=True, subnets=()),
    Network("Lab", is_isolated=True, subnets=()),
)


def check(
    connected: list[str], ordered: Mapping[str, str], *, tag: str = "tag", machine_id: str = "m"
) -> dict[str, str]:
    machine = Machine(description("x", machine_id, connected), is_running=False, tag=tag)
    return check_isolation(Inventory((machine,), NETWORKS), "m", "tag", ordered)


def test_isolated_and_disconnected_adapters_are_read_back() -> None:
    ordered = {"nic-0": "Test", "nic-1": "", "nic-9": "Lab"}
    assert check(["Test", ""], ordered) == {"nic-0": "Test", "nic-1": ""}


@pytest.mark.parametrize(
    ("connected", "ordered", "code"),
    [
        (["LAN"], {"nic-0": "LAN"}, "network-not-isolated"),
        (["Gone"], {"nic-0": "Gone"}, "network-not-isolated"),
        (["Test", "LAN"], {"nic-0": "Test"}, "network-not-isolated"),
        (["Lab"], {"nic-0": "Test"}, "network-not-as-ordered"),
        ([""], {"nic-0": "Test"}, "network-not-as-ordered"),
        (["Test"], {}, "network-not-as-ordered"),
    ],
)
def test_any_other_connection_is_refused(
    connected: list[str], ordered: dict[str, str], code: str
) -> None:
    with pytest.raises(RehearsalError, match="was not started") as caught:
        check(connected, ordered)
    assert caught.value.code == code


@pytest.mark.parametrize(("tag", "machine_id"), [("other", "m"), ("", "m"), ("tag", "n")])
def test_machine_that_is_not_ours_proves_nothing(tag: str, machine_id: str) -> None:
    with pytest.raises(RehearsalError) as caught:
        check(["Test"], {"nic-0": "Test"}, tag=tag, machine_id=machine_id)
    assert caught.value.code == "machine-missing"
