import pytest

from coordinator.domain.identifiers import MachineId
from coordinator.domain.operators import OperatorRole
from coordinator.domain.orders import GuestReport, NicConnection, RecoveredDisk, RehearsalStarted
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.asking import Asking, asking
from tests.unit.coordinator.examples import TARGET
from tests.unit.coordinator.vaults import equip, protect, the_order


@pytest.fixture
async def owner(vault: Vault) -> Asking:
    return await asking(vault, "olga", OperatorRole.OWNER)


async def test_enabling_answers_with_the_job_to_follow(vault: Vault, owner: Asking) -> None:
    await equip(vault)
    body = {"machine": "web", "target_host": "b1", "policy": "quick"}
    response = await owner.ask("POST", "/protections", body)
    assert response.status == 202
    location = response.headers["Location"].removeprefix("/api/v1")
    job = await owner.get(location)
    assert (job["subject"], job["state"], job["allowed_actions"]) == ("web", "running", ["cancel"])


async def test_a_protection_is_found_by_name_and_by_id(vault: Vault, owner: Asking) -> None:
    protection = await protect(vault)
    by_name = await owner.get("/protections/web")
    assert by_name == await owner.get(f"/protections/{protection.id}")
    assert by_name["state"] == "protected"
    assert (await owner.get("/protections"))["items"] == [by_name]


async def test_a_test_failover_is_started_shown_and_cleaned_up(vault: Vault, owner: Asking) -> None:
    await protect(vault)
    started = await owner.ask("POST", "/protections/web/test-failovers", {"point": 1})
    assert started.status == 202
    outcome = RehearsalStarted(
        MachineId("m"),
        (RecoveredDisk("d", "/r/d.vhdx", 1 << 30),),
        (),
        GuestReport(is_healthy=True, summary="verified", records=3),
        (NicConnection("nic-0", ""), NicConnection("nic-1", "")),
    )
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, outcome)
    (shown,) = (await owner.get("/test-failovers"))["items"]
    assert (shown["protection"], shown["state"], shown["machine_id"]) == ("web", "started", "m")
    assert await owner.get(f"/test-failovers/{shown['id']}") == shown
    cleaning = await owner.post("/protections/web/test-failovers/clean-up")
    assert cleaning["kind"] == "clean-up-test-failover"


@pytest.mark.parametrize("point", [None, 0, "first", True, 2**63])
async def test_a_point_is_latest_or_a_sequence(owner: Asking, point: object) -> None:
    body = {"point": point}
    assert await owner.refusal("POST", "/protections/web/test-failovers", body) == (
        422,
        "invalid-request",
    )
