import pytest

from coordinator.domain.operators import OperatorRole
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.asking import Asking, asking
from tests.unit.coordinator.vaults import equip


@pytest.fixture
async def carl(vault: Vault) -> Asking:
    return await asking(vault, "carl", OperatorRole.CONTRIBUTOR)


async def test_hosts_are_listed_by_name_and_shown_one_by_one(vault: Vault, carl: Asking) -> None:
    await equip(vault)
    listed = (await carl.get("/hosts"))["items"]
    assert [(item["name"], item["state"]) for item in listed] == [
        ("a1", "disconnected"),
        ("b1", "disconnected"),
    ]
    shown = await carl.get("/hosts/a1")
    assert shown == listed[0] | {
        "certificates": [],
        "replica_folders": [],
        "storage_path": "",
    }


async def test_a_host_is_invited_to_a_site_there_is(carl: Asking) -> None:
    body = {"site": "north"}
    assert await carl.refusal("POST", "/host-invitations", body) == (404, "unknown-site")
    await carl.post("/sites", {"name": "north"})
    made = await carl.post("/host-invitations", body)
    assert made["join_line"].startswith(f"rk1/{made['key_id']}/")
    assert (made["site"], made["host"]) == ("north", None)
    (key,) = (await carl.get("/registration-keys"))["items"]
    assert (key["id"], key["state"], key["host"]) == (made["key_id"], "unused", None)


async def test_the_secret_of_an_invitation_is_told_once(carl: Asking) -> None:
    await carl.post("/sites", {"name": "north"})
    headers = {"Idempotency-Key": "k"}
    first = await carl.ask("POST", "/host-invitations", {"site": "north"}, headers)
    again = await carl.ask("POST", "/host-invitations", {"site": "north"}, headers)
    assert first.status == 201
    assert (again.status, len((await carl.get("/registration-keys"))["items"])) == (409, 1)


async def test_a_key_is_revoked(carl: Asking) -> None:
    await carl.post("/sites", {"name": "north"})
    made = await carl.post("/host-invitations", {"site": "north"})
    revoked = await carl.post(f"/registration-keys/{made['key_id']}/revoke")
    assert (revoked["state"], revoked["id"]) == ("revoked", made["key_id"])
    assert await carl.refusal("POST", "/registration-keys/x/revoke") == (
        404,
        "unknown-registration-key",
    )


async def test_a_host_is_revoked_readmitted_and_retired(vault: Vault, carl: Asking) -> None:
    await equip(vault)
    revoked = await carl.post("/hosts/a1/revoke", {"reason": "stolen"})
    assert (revoked["state"], revoked["name"]) == ("revoked", "a1")
    assert "stolen" in revoked["cause"]
    line = await carl.post("/hosts/a1/readmit", {"reason": "found"})
    assert (line["host"], line["site"]) == ("a1", "a")
    (key,) = (await carl.get("/registration-keys"))["items"]
    assert (key["readmits"], key["state"]) == ("a1", "unused")
    retired = await carl.post("/hosts/b1/retire", {})
    assert retired["state"] == "retired"
    assert retired["name"].startswith("b1~")
    assert [item["name"] for item in (await carl.get("/status"))["hosts"]] == ["a1"]


@pytest.mark.parametrize("what", ["revoke", "readmit", "retire"])
async def test_a_host_that_is_not_there_is_not_found(carl: Asking, what: str) -> None:
    assert await carl.refusal("POST", f"/hosts/x/{what}") == (404, "unknown-host")
    assert await carl.refusal("POST", f"/hosts/x/{what}", {"why": 1}) == (422, "invalid-request")


@pytest.mark.parametrize("seconds", [0, -1, 2**63])
async def test_a_life_that_no_number_of_the_api_can_be_is_refused(
    carl: Asking, seconds: int
) -> None:
    body = {"site": "a", "valid_for_seconds": seconds}
    assert await carl.refusal("POST", "/host-invitations", body) == (422, "invalid-request")


async def test_a_life_beyond_the_calendar_is_only_too_long(carl: Asking) -> None:
    await carl.post("/sites", {"name": "a"})
    body = {"site": "a", "valid_for_seconds": 2**63 - 1}
    assert await carl.refusal("POST", "/host-invitations", body) == (422, "invalid-key-life")
