import pytest

from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

LINE = "rk1/0123456789abcdef/secret/vault:7443/abcd"
INVITATION = {
    "key_id": "0123456789abcdef",
    "join_line": LINE,
    "site": "b",
    "expires_at": "2026-11-27T20:14:55Z",
}
HOST = {
    "id": "h1",
    "name": "hv1",
    "site": "a",
    "cloud": "",
    "hypervisor": "simulated",
    "state": "connected",
    "last_seen_at": "2026-11-22T20:14:55Z",
    "replication_address": "10.0.0.1:7445",
    "agent_version": "0.1.0",
}


async def test_the_join_line_is_alone_on_standard_output(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/host-invitations", INVITATION, status=201)
    result = await cli("host", "invite", "--site", "b", "--valid-for", "5d")
    assert result.exit_code == 0
    assert result.stdout == LINE + "\n"
    assert "until 2026-11-27 20:14:55Z" in result.stderr
    assert "secret" not in result.stderr
    assert "next: on the new host: replikera-agent join" in result.stderr
    assert vault.requests == [
        ("POST", "/api/v1/host-invitations", {"site": "b", "valid_for_seconds": 432_000})
    ]


async def test_the_vault_decides_how_long_unless_told(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/host-invitations", INVITATION, status=201)
    assert await cli.json("host", "invite", "--site", "b") == INVITATION
    assert vault.requests == [("POST", "/api/v1/host-invitations", {"site": "b"})]


async def test_an_invitation_without_a_line_prints_none(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/host-invitations", {**INVITATION, "join_line": None}, status=201)
    result = await cli("host", "invite", "--site", "b")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "without join_line" in result.stderr


async def test_hosts_are_listed(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/hosts", {"items": [HOST, {"name": "hv2", "state": "disconnected"}]})
    assert await cli.json("host", "list") == {
        "items": [HOST, {"name": "hv2", "state": "disconnected"}],
        "next_cursor": None,
    }
    assert await cli.lines("host", "list") == [
        "HOST SITE CLOUD HYPERVISOR STATE LAST SEEN REPLICATION ADDRESS AGENT",
        "hv1 a - simulated connected 2026-11-22 20:14:55Z 10.0.0.1:7445 0.1.0",
        "hv2 unknown - unknown disconnected unknown unknown unknown",
    ]
    assert vault.requests[0] == ("GET", "/api/v1/hosts", None)


async def test_a_host_is_shown_with_the_way_back(cli: Cli, vault: FakeVault) -> None:
    ill = {**HOST, "state": "quarantined", "cause": "It is a copy", "remedy": "Find out why"}
    vault.says("GET", "/hosts/hv1", ill)
    result = await cli("host", "show", "hv1")
    assert "It is a copy" in result.stdout
    assert result.stderr == "next: replikera host readmit hv1\n"
    vault.says("GET", "/hosts/hv1", HOST)
    assert (await cli("host", "show", "hv1")).stderr == ""
    assert await cli.json("host", "show", "hv1") == HOST


@pytest.mark.parametrize("verb", ["retire", "revoke"])
async def test_what_cannot_be_taken_back_is_confirmed_first(
    cli: Cli, vault: FakeVault, verb: str
) -> None:
    vault.says("POST", f"/hosts/hv1/{verb}", {**HOST, "state": f"{verb}d"})
    for options in ((), ("--confirm", "hv2")):
        declined = await cli("host", verb, "hv1", *options)
        assert (declined.exit_code, declined.stdout) == (3, "")
    assert vault.requests == []
    command = ("host", verb, "hv1", "--confirm", "hv1", "--reason", "stolen")
    assert (await cli.json(*command))["state"] == f"{verb}d"
    assert vault.requests == [("POST", f"/api/v1/hosts/hv1/{verb}", {"reason": "stolen"})]
    assert "state" in (await cli(*command)).stdout


async def test_a_known_host_gets_a_line_of_its_own(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/hosts/hv1/readmit", {**INVITATION, "host": "hv1"}, status=201)
    result = await cli("host", "readmit", "hv1", "--reason", "checked", "--valid-for", "1h")
    assert (result.exit_code, result.stdout) == (0, LINE + "\n")
    assert "for host hv1 alone" in result.stderr
    assert "stop its agent" in result.stderr
    body = {"reason": "checked", "valid_for_seconds": 3600}
    assert vault.requests == [("POST", "/api/v1/hosts/hv1/readmit", body)]


async def test_an_invitation_whose_answer_was_lost_is_told_once(cli: Cli, vault: FakeVault) -> None:
    vault.acts("POST", "/host-invitations", lambda _body: INVITATION, loses_answers=1)
    assert await cli.json("host", "invite", "--site", "b") == INVITATION
    assert len(set(vault.keys)) == len(vault.acted) == 1
