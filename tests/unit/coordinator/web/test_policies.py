import pytest

from coordinator.domain.operators import OperatorRole
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.asking import Asking, asking
from tests.unit.coordinator.vaults import protect

PLAIN = {"name": "slow", "copy_frequency_seconds": 60, "retention_hours": 0}
FULL = {
    "name": "full",
    "copy_frequency_seconds": 60,
    "retention_hours": 24,
    "application_consistent_hours": 4,
    "compression": "zstd",
    "throttle": [
        {"weekdays": 31, "start_minute": 480, "end_minute": 1080, "bytes_per_second": 1 << 20}
    ],
    "rpo_target_seconds": 600,
    "replica_on_disable": "delete",
}


@pytest.fixture
async def carl(vault: Vault) -> Asking:
    return await asking(vault, "carl", OperatorRole.CONTRIBUTOR)


async def test_what_is_created_is_answered(carl: Asking) -> None:
    made = await carl.post("/policies", FULL)
    assert made == FULL | {"id": made["id"], "promised_rpo_seconds": 600}
    assert await carl.get("/policies/full") == made | {"protections": []}


async def test_what_is_not_said_is_usual(carl: Asking) -> None:
    made = await carl.post("/policies", PLAIN)
    usual = {
        "application_consistent_hours": 0,
        "compression": "adaptive",
        "throttle": [],
        "rpo_target_seconds": None,
        "promised_rpo_seconds": 180,
        "replica_on_disable": "keep",
    }
    assert made == PLAIN | usual | {"id": made["id"]}
    assert (await carl.get("/policies"))["items"] == [made]


async def test_only_what_is_named_changes(carl: Asking) -> None:
    made = await carl.post("/policies", FULL)
    changed = await carl.post("/policies/full/update", {"throttle": [], "rpo_target_seconds": None})
    assert changed == made | {
        "throttle": [],
        "rpo_target_seconds": None,
        "promised_rpo_seconds": 180,
        "jobs": [],
    }


async def test_a_change_is_told_to_the_hosts_by_jobs(vault: Vault, carl: Asking) -> None:
    await protect(vault)
    changed = await carl.post("/policies/quick/update", {"retention_hours": 9})
    (job_id,) = changed["jobs"]
    job = await carl.get(f"/jobs/{job_id}")
    assert (job["kind"], job["subject"], job["state"]) == ("change-policy", "web", "running")
    assert (await carl.get("/policies/quick"))["protections"] == ["web"]


async def test_a_repeated_change_answers_the_same(vault: Vault, carl: Asking) -> None:
    await protect(vault)
    key = {"Idempotency-Key": "once"}
    first = await carl.post("/policies/quick/update", {"retention_hours": 9}, **key)
    assert await carl.post("/policies/quick/update", {"retention_hours": 9}, **key) == first


async def test_a_policy_that_is_followed_stays(vault: Vault, carl: Asking) -> None:
    await protect(vault)
    made = await carl.post("/policies", PLAIN)
    assert await carl.refusal("POST", "/policies/quick/delete", {}) == (409, "policy-in-use")
    gone = await carl.post("/policies/slow/delete", {})
    assert gone == {"id": made["id"], "name": "slow"}
    assert await carl.refusal("GET", "/policies/slow") == (404, "unknown-policy")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"retention_tiers": [{}]}, "retention-tiers-not-offered"),
        ({"retention_lock_hours": 1}, "retention-lock-not-offered"),
        ({"initial_replication": "scheduled"}, "scheduled-initial-replication-not-offered"),
        ({"copy_frequency_seconds": 1}, "copy-frequency-too-short"),
    ],
)
async def test_what_cannot_be_held_is_refused(
    vault: Vault, carl: Asking, change: dict[str, object], code: str
) -> None:
    await protect(vault)
    assert (await carl.refusal("POST", "/policies/quick/update", change))[1] == code
