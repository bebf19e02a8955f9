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


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"point": None}, "invalid-request"),
        ({"point": 0}, "invalid-request"),
        ({"point": True}, "invalid-request"),
        ({"point": 2**63}, "invalid-request"),
        ({"point": "first"}, "invalid-point"),
        ({"point": "latest", "network": ""}, "invalid-request"),
        ({"point": "latest", "lasts_seconds": 0}, "invalid-request"),
        ({"point": "latest", "lasts_seconds": "8h"}, "invalid-request"),
    ],
)
async def test_a_test_failover_that_cannot_be_meant_is_refused(
    owner: Asking, body: dict[str, object], code: str
) -> None:
    path = "/protections/web/test-failovers"
    assert await owner.refusal("POST", path, body) == (422, code)


async def test_a_test_failover_that_would_stand_for_ever_is_refused(
    owner: Asking, vault: Vault
) -> None:
    await protect(vault)
    body = {"point": "latest", "lasts_seconds": 2**63 - 1}
    path = "/protections/web/test-failovers"
    assert await owner.refusal("POST", path, body) == (422, "invalid-length")


async def test_a_plan_tells_host_point_loss_and_networks(owner: Asking, vault: Vault) -> None:
    await protect(vault)
    plan = await owner.get("/protections/web/test-failovers/plan?point=1&network=none")
    assert (plan["protection"], plan["target_host"], plan["point"]["sequence"]) == ("web", "b1", 1)
    assert [(nic["network"], nic["rule"]) for nic in plan["nics"]] == [("", "not-wanted")] * 2
    assert plan["expected_loss_seconds"] is None, "the clock of its source is far ahead"
    assert (await owner.get("/test-failovers"))["items"] == []


async def test_a_protection_tells_whether_it_could_be_failed_over_and_what_proved_it(
    owner: Asking, vault: Vault
) -> None:
    await protect(vault)
    shown = await owner.get("/protections/web")
    assert shown["failover_now"] == {
        "answer": "unknown",
        "reason": "Host b1 is not connected: its points cannot be read now.",
        "newest_point_age_seconds": None,
    }
    assert shown["last_proved"] is None
