import pytest

from coordinator.domain.orders import Done, Failure, Outcome, ReplicaAccepted, ReplicaRemoved
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import BY_ANN, equip, the_job, the_order, the_protection


@pytest.mark.parametrize(
    ("outcome", "path"), [(ReplicaAccepted("/replicas/p"), "/replicas/p"), (Done(), "")]
)
async def test_a_target_tells_where_the_replica_is_if_it_can(
    vault: Vault, outcome: Outcome, path: str
) -> None:
    await equip(vault)
    await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    order = await the_order(vault, TARGET.id)
    await receive_outcome(vault, TARGET.id, order.id, outcome)
    assert (await the_protection(vault)).replica_path == path
    assert (await the_order(vault, SOURCE.id)).job_id == order.job_id


@pytest.mark.parametrize("outcome", [Failure("a", "b", "c"), ReplicaRemoved(())])
async def test_anything_else_has_failed(vault: Vault, outcome: Outcome) -> None:
    await equip(vault)
    job = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    order = await the_order(vault, TARGET.id)
    await receive_outcome(vault, TARGET.id, order.id, outcome)
    assert (await the_job(vault, job.id)).state == "failed"
    assert (await the_protection(vault)).state == "failed"
