from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

VAULT = {
    "id": "v",
    "name": "lab",
    "created_at": "2026-11-22T20:14:55Z",
    "session_address": "vault:7444",
    "enrolment_address": "vault:7443",
}


async def test_the_vault_is_shown(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/vault", VAULT)
    assert await cli.json("vault", "show") == VAULT
    assert await cli.lines("vault", "show") == [
        "name lab",
        "id v",
        "created 2026-11-22 20:14:55Z",
        "session address vault:7444",
        "enrolment address vault:7443",
    ]
    assert vault.requests[0] == ("GET", "/api/v1/vault", None)
