import pytest

from coordinator.domain.errors import RefusedError, UnknownObjectError
from coordinator.domain.orders import AcceptReplica
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import (
    BY_ANN,
    equip,
    open_orders,
    the_job,
    the_order,
    the_protection,
)


async def test_the_order_is_stored_with_the_decision_and_its_host_is_woken(vault: Vault) -> None:
    await equip(vault)
    session = vault.presence.begin(TARGET.id)
    session.work_waiting.clear()
    job = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    assert session.work_waiting.is_set()
    order = await the_order(vault, TARGET.id)
    assert isinstance(order.action, AcceptReplica)
    assert await the_job(vault, job.id) == job
    assert (await the_protection(vault)).job_id == job.id
    assert await open_orders(vault, SOURCE.id) == ()


async def test_a_machine_is_protected_once(vault: Vault) -> None:
    await equip(vault)
    await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    with pytest.raises(RefusedError, match="web is protected already"):
        await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    assert len(await open_orders(vault, TARGET.id)) == 1


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("db", "b1", "quick"), "unknown-machine"),
        (("web", "c1", "quick"), "unknown-host"),
        (("web", "b1", "slow"), "unknown-policy"),
    ],
)
async def test_an_unknown_name_leaves_nothing_behind(
    vault: Vault, names: tuple[str, str, str], code: str
) -> None:
    await equip(vault)
    with pytest.raises(UnknownObjectError) as caught:
        await enable_protection(vault, BY_ANN, *names)
    assert caught.value.code == code
    assert await open_orders(vault, TARGET.id) == ()
