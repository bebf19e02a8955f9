import pytest
from pydantic import ValidationError

from coordinator.domain.identifiers import MachineId
from coordinator.domain.orders import GuestReport, NicConnection, RecoveredDisk, RehearsalStarted
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.vault import Vault
from coordinator.web.protections import ProtectionHandlers
from tests.unit.coordinator.examples import TARGET
from tests.unit.coordinator.requests import body_of, request
from tests.unit.coordinator.vaults import equip, protect, report, the_order


async def test_enabling_answers_with_the_job_to_follow(vault: Vault) -> None:
    await equip(vault)
    body = {"machine": "web", "target_host": "b1", "policy": "quick"}
    guard = ProtectionHandlers(vault)
    response = await guard.enable(request("POST", body=body))
    job = body_of(response)
    assert (response.status, job["subject"]) == (202, "web")
    assert body_of(await guard.get_job(request(id=job["id"]))) == job
    assert body_of(await guard.list_jobs(request()))["items"] == [job]


async def test_a_protection_is_found_by_name_and_by_id(vault: Vault) -> None:
    protection = await protect(vault)
    guard = ProtectionHandlers(vault)
    by_name = body_of(await guard.get_protection(request(name="web")))
    assert by_name == body_of(await guard.get_protection(request(name=protection.id)))
    assert by_name["state"] == "protected"
    assert body_of(await guard.list_protections(request()))["items"] == [by_name]


async def test_points_are_listed_newest_first(vault: Vault) -> None:
    await protect(vault)
    await report(vault, 2, 3)
    listed = body_of(await ProtectionHandlers(vault).list_points(request(name="web")))["items"]
    assert [point["sequence"] for point in listed] == [3, 2, 1]


async def test_a_test_failover_is_started_shown_and_cleaned_up(vault: Vault) -> None:
    await protect(vault)
    guard = ProtectionHandlers(vault)
    started = await guard.start_test_failover(request("POST", body={"point": 1}, name="web"))
    assert started.status == 202
    outcome = RehearsalStarted(
        MachineId("m"),
        (RecoveredDisk("d", "/r/d.vhdx", 1 << 30),),
        (),
        GuestReport(is_healthy=True, summary="verified", records=3),
        (NicConnection("nic-0", ""), NicConnection("nic-1", "")),
    )
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, outcome)
    (shown,) = body_of(await guard.list_test_failovers(request()))["items"]
    assert (shown["protection"], shown["state"], shown["machine_id"]) == ("web", "started", "m")
    assert body_of(await guard.get_test_failover(request(id=shown["id"]))) == shown
    cleaning = await guard.clean_up_test_failover(request("POST", name="web"))
    assert (cleaning.status, body_of(cleaning)["kind"]) == (202, "clean-up-test-failover")


@pytest.mark.parametrize("point", [None, 0, "first", True, 2**63])
async def test_a_point_is_latest_or_a_sequence(vault: Vault, point: object) -> None:
    with pytest.raises(ValidationError):
        await ProtectionHandlers(vault).start_test_failover(
            request("POST", body={"point": point}, name="web")
        )
