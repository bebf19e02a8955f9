"""The REST surface over real mutual TLS: who is let in, what is refused and how it is said."""

import asyncio
import gzip
import json
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from replikera.enrolment import parse_join_line
from replikera.identity import root_fingerprint
from replikera.tls import client_tls
from tests.integration.coordinator.running_vault import RunningVault, inventory, machine

POLICY = {"name": "quick", "copy_frequency_seconds": 30, "retention_hours": 24}


async def refused(vault: RunningVault, method: str, path: str, body: object = None) -> Any:
    answer = await vault.call(method, path, body)
    assert answer.content_type == "application/problem+json"
    assert answer.body["status"] == answer.status >= 400
    assert answer.body["type"] == f"urn:replikera:problem:{answer.body['code']}"
    assert answer.body["title"]
    assert answer.body["detail"]
    assert answer.body["remedy"]
    return answer


async def mapped_hosts(vault: RunningVault) -> dict[str, Any]:
    """Register two hosts with networks; return a mapping between them that is good."""
    for name, site, networks in (
        ("a1", "a", {"lan": False}),
        ("b1", "b", {"dr-lan": False, "bubble": True}),
    ):
        host = await vault.add_host(name, site)
        async with host.welcomed(vault) as session:
            await session.send(inventory=inventory([], networks))
            await session.settled()
    return {
        "primary_host": "a1",
        "primary_network": "lan",
        "secondary_host": "b1",
        "secondary_network": "dr-lan",
        "test_network": "bubble",
    }


async def test_the_vault_tells_its_addresses_and_that_it_serves(vault: RunningVault) -> None:
    answer = await vault.get("/vault")
    assert (answer["mode"], answer["hosts_missing"]) == ("serving", [])
    assert answer["fingerprint"] == root_fingerprint(vault.root)
    assert answer["head"]["number"] > 0
    assert len(answer["head"]["digest"]) == 64
    assert (answer["id"], answer["name"]) == (vault.vault_id, "home")
    assert answer["session_address"] == answer["enrolment_address"] == "vault.test:7401"
    assert datetime.fromisoformat(answer["created_at"]).utcoffset() == timedelta(0)


async def test_an_invitation_is_a_join_line_for_the_vaults_root(vault: RunningVault) -> None:
    await vault.ensure_site("a")
    answer = await vault.call("POST", "/host-invitations", {"site": "a", "valid_for_seconds": 90})
    assert answer.status == 201
    line = parse_join_line(answer.body["join_line"])
    assert line.key_id == answer.body["key_id"]
    assert line.address == "vault.test:7401"
    assert line.root_fingerprint == root_fingerprint(vault.root)
    left = datetime.fromisoformat(answer.body["expires_at"]) - vault.clock.now()
    assert timedelta(seconds=80) < left <= timedelta(seconds=90)
    default = await vault.post("/host-invitations", {"site": "a"})
    left = datetime.fromisoformat(default["expires_at"]) - vault.clock.now()
    assert timedelta(days=4, hours=23) < left <= timedelta(days=5)


@pytest.mark.parametrize("seconds", [7 * 86400 + 1, 2**62])
async def test_an_invitation_cannot_live_for_ever(vault: RunningVault, seconds: int) -> None:
    await vault.ensure_site("a")
    body = {"site": "a", "valid_for_seconds": seconds}
    answer = await refused(vault, "POST", "/host-invitations", body)
    assert (answer.status, answer.body["code"]) == (422, "invalid-key-life")


async def test_an_invitation_to_an_unknown_site_tells_how_to_make_one(
    vault: RunningVault,
) -> None:
    answer = await refused(vault, "POST", "/host-invitations", {"site": "nowhere"})
    assert (answer.status, answer.body["code"]) == (404, "unknown-site")
    assert "replikera site create" in answer.body["remedy"]


async def test_policies_are_created_and_listed_by_name(vault: RunningVault) -> None:
    created = await vault.post("/policies", POLICY)
    assert {key: created[key] for key in POLICY} == POLICY
    widest = {"name": "always", "copy_frequency_seconds": 86400, "retention_hours": 720}
    await vault.post("/policies", widest)
    items = (await vault.get("/policies"))["items"]
    assert [item["name"] for item in items] == ["always", "quick"]
    assert items[1] == created
    taken = await refused(vault, "POST", "/policies", POLICY)
    assert (taken.status, taken.body["code"]) == (409, "policy-name-taken")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"copy_frequency_seconds": 0}, "/copy_frequency_seconds"),
        ({"copy_frequency_seconds": 86401}, "/copy_frequency_seconds"),
        ({"copy_frequency_seconds": 1.5}, "/copy_frequency_seconds"),
        ({"copy_frequency_seconds": "30"}, "/copy_frequency_seconds"),
        ({"copy_frequency_seconds": True}, "/copy_frequency_seconds"),
        ({"retention_hours": -1}, "/retention_hours"),
        ({"retention_hours": 721}, "/retention_hours"),
        ({"retention_hours": None}, "/retention_hours"),
        ({"name": ""}, "/name"),
        ({"name": " quick"}, "/name"),
        ({"name": "a/b"}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"application_consistent_hours": 13}, "/application_consistent_hours"),
        ({"initial_replication": "offline"}, "/initial_replication"),
        ({"compression": "gzip"}, "/compression"),
        ({"colour": 1}, "/colour"),
    ],
)
async def test_a_policy_that_asks_for_anything_else_is_refused_by_field(
    vault: RunningVault, change: dict[str, object], pointer: str
) -> None:
    answer = await refused(vault, "POST", "/policies", POLICY | change)
    assert answer.status == 422
    assert [error["pointer"] for error in answer.body["errors"]] == [pointer]
    assert (await vault.get("/policies"))["items"] == []


async def test_a_compressed_body_is_not_unpacked(vault: RunningVault) -> None:
    bomb = gzip.compress(json.dumps(POLICY | {"name": "x" * 10_000_000}).encode())
    answer = await vault.call("POST", "/policies", raw=bomb, headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.body["code"]) == (400, "not-json")


async def test_a_header_is_bounded(vault: RunningVault) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"https://127.0.0.1:{vault.ports.api}/api/v1/vault",
            headers={"X-Long": "x" * 20_000},
            ssl=client_tls(vault.operator),
            server_hostname=vault.peer_name,
        ) as response,
    ):
        assert response.status == 400
    assert (await vault.call("GET", "/vault")).status == 200


async def test_no_answer_is_stored_or_guessed_at(vault: RunningVault) -> None:
    for path in ("/vault", "/nowhere", "/jobs/x", "/openapi.json"):
        answer = await vault.call("GET", path)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "aiohttp" not in answer.headers["Server"]


async def test_a_parameter_that_a_path_does_not_know_is_refused(vault: RunningVault) -> None:
    answer = await refused(vault, "GET", "/policies?colour=red")
    assert (answer.status, answer.body["errors"][0]["pointer"]) == (422, "?colour")
    assert (await refused(vault, "GET", "/policies?limit=1001")).status == 422
    assert (await refused(vault, "GET", "/policies?limit=1&limit=2")).status == 400


async def test_a_list_comes_a_page_at_a_time(vault: RunningVault) -> None:
    for name in ("c", "a", "b"):
        await vault.post("/policies", POLICY | {"name": name})
    first = await vault.get("/policies?limit=2")
    rest = await vault.get(f"/policies?limit=2&cursor={first['next_cursor']}")
    assert [item["name"] for item in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next_cursor"] is None
    stolen = await refused(vault, "GET", f"/jobs?cursor={first['next_cursor']}")
    assert (stolen.status, stolen.body["code"]) == (422, "invalid-cursor")


async def test_a_request_sent_twice_is_done_once(vault: RunningVault) -> None:
    key = {"Idempotency-Key": "0b7d5c6e"}
    first = await vault.call("POST", "/policies", POLICY, headers=key)
    again = await vault.call("POST", "/policies", POLICY, headers=key)
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    other = await vault.call("POST", "/policies", POLICY | {"name": "slow"}, headers=key)
    assert (other.status, other.body["code"]) == (409, "idempotency-key-reused")


async def test_requests_sent_at_once_with_one_key_are_done_once(vault: RunningVault) -> None:
    key = {"Idempotency-Key": "at-once"}
    answers = await asyncio.gather(
        *(vault.call("POST", "/policies", POLICY, headers=key) for _ in range(6))
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body["id"] for answer in answers}) == 1


@pytest.mark.parametrize("raw", [b"{", b"\xff", b"[" * 30_000, b'{"name": NaN}'])
async def test_a_body_that_is_not_json_is_refused(vault: RunningVault, raw: bytes) -> None:
    answer = await vault.call("POST", "/policies", raw=raw)
    assert answer.status in {400, 422}
    assert answer.body["code"] in {"not-json", "invalid-request"}


@pytest.mark.parametrize("raw", [b"[]", b"1", b"null", b""])
async def test_a_body_that_is_not_the_object_is_refused(vault: RunningVault, raw: bytes) -> None:
    answer = await vault.call("POST", "/policies", raw=raw)
    assert (answer.status, answer.body["code"]) == (422, "invalid-request")


async def test_a_huge_body_is_refused(vault: RunningVault) -> None:
    answer = await vault.call("POST", "/policies", raw=b" " * (65 * 1024))
    assert (answer.status, answer.body["code"]) == (413, "body-too-large")


async def test_unknown_paths_methods_and_names_are_problems_too(vault: RunningVault) -> None:
    for method, path, status, code in (
        ("GET", "/nowhere", 404, "unknown-path"),
        ("DELETE", "/policies", 405, "method-not-allowed"),
        ("GET", "/protections/web", 404, "unknown-protection"),
        ("GET", "/protections/web/points", 404, "unknown-protection"),
        ("GET", "/jobs/x", 404, "unknown-job"),
        ("GET", "/test-failovers/x", 404, "unknown-test-failover"),
        ("GET", "/machines/web", 404, "unknown-machine"),
        ("GET", "/hosts/a1", 404, "unknown-host"),
        ("POST", "/jobs/x/cancel", 404, "unknown-job"),
        ("POST", "/operators/x/revoke", 404, "unknown-operator"),
        ("POST", "/registration-keys/x/revoke", 404, "unknown-registration-key"),
        ("POST", "/protections/web/test-failovers/clean-up", 404, "unknown-protection"),
    ):
        answer = await refused(vault, method, path)
        assert (answer.status, answer.body["code"]) == (status, code)


@pytest.mark.parametrize(
    ("point", "code"),
    [
        *((wrong, "invalid-request") for wrong in (0, -1, "", 1.0, None, True)),
        *((wrong, "invalid-point") for wrong in ("newest", "0", "-1")),
    ],
)
async def test_a_point_is_a_selector_or_a_number(
    vault: RunningVault, point: object, code: str
) -> None:
    answer = await refused(vault, "POST", "/protections/web/test-failovers", {"point": point})
    assert (answer.status, answer.body["code"]) == (422, code)


async def test_networks_are_mapped_once(vault: RunningVault) -> None:
    mapping = await mapped_hosts(vault)
    created = await vault.post("/network-mappings", mapping)
    assert {key: created[key] for key in mapping} == mapping
    assert (created["health"], created.pop("protections")) == ("healthy", [])
    assert (await vault.get("/network-mappings"))["items"] == [created]
    again = await refused(vault, "POST", "/network-mappings", mapping)
    assert (again.status, again.body["code"]) == (409, "network-mapped-already")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"primary_host": "c1"}, 404, "unknown-host"),
        ({"primary_network": "wan"}, 404, "unknown-network"),
        ({"secondary_network": "lan"}, 404, "unknown-network"),
        ({"test_network": "foam"}, 404, "unknown-network"),
        ({"test_network": "dr-lan"}, 422, "network-not-isolated"),
        ({"secondary_host": "a1"}, 422, "same-host"),
    ],
)
async def test_a_mapping_of_what_is_not_there_is_refused_by_name(
    vault: RunningVault, change: dict[str, str], status: int, code: str
) -> None:
    mapping = await mapped_hosts(vault)
    answer = await refused(vault, "POST", "/network-mappings", mapping | change)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert next(iter(change.values())) in answer.body["detail"]
    assert (await vault.get("/network-mappings"))["items"] == []


async def test_a_name_of_two_machines_is_not_guessed(vault: RunningVault) -> None:
    await vault.post("/policies", POLICY)
    for name, site, machine_id in (("a1", "a", "id-1"), ("a2", "a", "id-2"), ("b1", "b", "id-3")):
        host = await vault.add_host(name, site)
        async with host.welcomed(vault) as session:
            await session.send(inventory=inventory([machine("web", machine_id)], {}))
            await session.settled()
    body = {"machine": "web", "target_host": "b1", "policy": "quick"}
    answer = await refused(vault, "POST", "/protections", body)
    assert (answer.status, answer.body["code"]) == (409, "ambiguous-name")
    accepted = await vault.call("POST", "/protections", body | {"machine": "id-2"})
    assert accepted.status == 202
    assert accepted.location == f"/api/v1/jobs/{accepted.body['id']}"
    assert (await vault.get("/protections/web"))["source_host"] == "a2"


async def test_a_target_that_never_connected_is_refused(vault: RunningVault) -> None:
    await vault.post("/policies", POLICY)
    host = await vault.add_host("a1", "a")
    await vault.add_host("b1", "b")
    async with host.welcomed(vault) as session:
        await session.send(inventory=inventory([machine("web", "id-1")], {}))
        await session.settled()
    body = {"machine": "web", "target_host": "b1", "policy": "quick"}
    answer = await refused(vault, "POST", "/protections", body)
    assert (answer.status, answer.body["code"]) == (409, "target-never-connected")


async def test_the_status_of_an_empty_vault_is_not_applicable(vault: RunningVault) -> None:
    status = await vault.get("/status")
    assert (status["vault"], status["health"]) == ("home", "not-applicable")
    assert (status["hosts"], status["protections"], status["jobs_running"]) == ([], [], 0)


async def test_a_disconnected_host_is_a_warning(vault: RunningVault) -> None:
    await vault.add_host("a1", "a")
    assert (await vault.get("/status"))["health"] == "warning"
