import pytest

from coordinator.domain.operators import OperatorRole
from coordinator.domain.orders import Done, Failure, ReplicaRemoved
from coordinator.domain.replication import ReplicationReport, ReplicationState, Verification
from coordinator.orchestration.host_messages import receive_replication
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.asking import Asking, asking
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import protect, the_order, the_protection


@pytest.fixture
async def owner(vault: Vault) -> Asking:
    return await asking(vault, "olga", OperatorRole.OWNER)


@pytest.mark.parametrize(
    ("verb", "body", "kind"),
    [
        ("pause", {}, "pause-protection"),
        ("verify", {}, "verify-protection"),
        ("update", {"policy": "quick"}, "change-policy"),
        ("disable", {}, "disable-protection"),
    ],
)
async def test_a_change_answers_with_the_job_to_follow(
    vault: Vault, owner: Asking, verb: str, body: object, kind: str
) -> None:
    await protect(vault)
    response = await owner.ask("POST", f"/protections/web/{verb}", body)
    assert response.status == 202
    job = await owner.get(response.headers["Location"].removeprefix("/api/v1"))
    assert (job["kind"], job["subject"], job["state"]) == (kind, "web", "running")


@pytest.mark.parametrize(
    ("verb", "code"), [("resume", "not-paused"), ("resync", "no-resync-required")]
)
async def test_what_is_not_due_is_refused(
    vault: Vault, owner: Asking, verb: str, code: str
) -> None:
    await protect(vault)
    assert await owner.refusal("POST", f"/protections/web/{verb}", {}) == (409, code)


async def test_the_end_of_a_protection_tells_what_was_kept(vault: Vault, owner: Asking) -> None:
    await protect(vault)
    job = await owner.post("/protections/web/disable", {"replica": "keep"})
    for host_id, outcome in ((SOURCE.id, Done()), (TARGET.id, ReplicaRemoved(("/x/d.vhdx",)))):
        order = await the_order(vault, host_id)
        await receive_outcome(vault, host_id, order.id, outcome)
    ended = await owner.get(f"/jobs/{job['id']}")
    assert (ended["state"], ended["result"]) == ("succeeded", {"kept_paths": ["/x/d.vhdx"]})
    assert await owner.refusal("GET", "/protections/web") == (404, "unknown-protection")


async def test_a_host_that_is_gone_is_forgotten(vault: Vault, owner: Asking) -> None:
    await protect(vault)
    job = await owner.post("/protections/web/disable", {"forget": ["source", "target"]})
    assert job["state"] == "succeeded"
    assert (await owner.get("/protections"))["items"] == []


async def test_a_protection_shows_what_its_source_told(vault: Vault, owner: Asking) -> None:
    await protect(vault)
    now = vault.clock.now()
    verification = Verification("v", 5, 10, 0, is_finished=False, finished_at=None)
    report = ReplicationReport(
        (await the_protection(vault)).id,
        ReplicationState.REPLICATING,
        None,
        1,
        2,
        3.0,
        None,
        1,
        now,
        77,
        verification,
        now,
        Failure("not-consistent", "The freeze fell back.", "Look at the guest."),
    )
    await receive_replication(vault, SOURCE.id, report)
    shown = await owner.get("/protections/web")
    assert (shown["sent_bytes"], shown["is_paused"], shown["rpo_target_seconds"]) == (77, False, 15)
    assert shown["verification"]["checked_bytes"] == 5
    assert shown["warning"]["code"] == "not-consistent"
    assert shown["compared_at"] is not None
