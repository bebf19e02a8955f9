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
        "items": [HOST, {"name": "hv2", "state": "disconnected"}]
    }
    assert await cli.lines("host", "list") == [
        "HOST SITE CLOUD HYPERVISOR STATE LAST SEEN REPLICATION ADDRESS AGENT",
        "hv1 a - simulated connected 2026-11-22 20:14:55Z 10.0.0.1:7445 0.1.0",
        "hv2 unknown - unknown disconnected unknown unknown unknown",
    ]
    assert vault.requests[0] == ("GET", "/api/v1/hosts", None)
