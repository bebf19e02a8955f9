from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

KEY = {
    "id": "k1",
    "site": "dc-a",
    "state": "unused",
    "created_at": "2026-11-22T20:14:55Z",
    "expires_at": "2026-11-27T20:14:55Z",
    "used_at": None,
    "revoked_at": None,
    "host": None,
    "readmits": None,
}
USED = {**KEY, "state": "used", "used_at": "2026-11-23T20:14:55Z", "host": "hv1", "readmits": "hv1"}


async def test_keys_are_listed(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/registration-keys", {"items": [KEY, USED], "next_cursor": None})
    assert await cli.lines("key", "list") == [
        "KEY SITE STATE CREATED ENDS USED HOST READMITS",
        "k1 dc-a unused 2026-11-22 20:14:55Z 2026-11-27 20:14:55Z - - -",
        "k1 dc-a used 2026-11-22 20:14:55Z 2026-11-27 20:14:55Z 2026-11-23 20:14:55Z hv1 hv1",
    ]


async def test_a_key_is_revoked(cli: Cli, vault: FakeVault) -> None:
    revoked = {**KEY, "state": "revoked", "revoked_at": "2026-11-22T21:14:55Z"}
    vault.says("POST", "/registration-keys/k1/revoke", revoked)
    assert await cli.json("key", "revoke", "k1") == revoked
    assert (await cli.lines("key", "revoke", "k1"))[1].startswith("k1 dc-a revoked")
    assert vault.requests[0] == ("POST", "/api/v1/registration-keys/k1/revoke", {})
