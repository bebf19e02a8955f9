import pytest

from coordinator.domain.operators import OperatorRole
from coordinator.domain.orders import Withdrawn
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.asking import Asking, asking
from tests.unit.coordinator.examples import TARGET
from tests.unit.coordinator.vaults import BY_ANN, equip, the_order


@pytest.fixture
async def owner(vault: Vault) -> Asking:
    return await asking(vault, "olga", OperatorRole.OWNER)


async def test_a_job_is_cancelled_and_says_so(vault: Vault, owner: Asking) -> None:
    await equip(vault)
    job = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    response = await owner.ask("POST", f"/jobs/{job.id}/cancel")
    assert (response.status, response.headers["Location"]) == (202, f"/api/v1/jobs/{job.id}")
    asked = await owner.get(f"/jobs/{job.id}")
    assert (asked["state"], asked["allowed_actions"]) == ("running", [])
    assert asked["cancel_requested_at"] is not None
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, Withdrawn())
    ended = await owner.get(f"/jobs/{job.id}")
    assert (ended["state"], ended["tasks"][0]["state"]) == ("cancelled", "cancelled")
    assert await owner.refusal("POST", f"/jobs/{job.id}/cancel") == (409, "job-not-cancellable")


async def test_jobs_are_found_by_state_and_by_machine(vault: Vault, owner: Asking) -> None:
    await equip(vault)
    job = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    for query, count in (
        ("", 1),
        ("?state=running", 1),
        ("?state=failed", 0),
        ("?subject=web&state=running", 1),
        ("?subject=db", 0),
    ):
        items = (await owner.get(f"/jobs{query}"))["items"]
        assert [item["id"] for item in items] == [job.id] * count
    assert await owner.refusal("GET", "/jobs?state=done") == (422, "invalid-request")
    assert await owner.refusal("GET", "/jobs/x") == (404, "unknown-job")
