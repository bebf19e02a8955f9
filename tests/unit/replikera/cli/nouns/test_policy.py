import json

from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

POLICY = {"id": "p1", "name": "gold", "copy_frequency_seconds": 30, "retention_hours": 24}
CREATE = ("policy", "create", "gold", "--copy-frequency", "30s", "--retention", "24h")


async def test_a_policy_is_created(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/policies", POLICY, status=201)
    assert await cli.json(*CREATE) == POLICY
    assert await cli.lines(*CREATE) == ["POLICY COPY FREQUENCY RETENTION ID", "gold 30s 1d p1"]
    body = {"name": "gold", "copy_frequency_seconds": 30, "retention_hours": 24}
    assert vault.requests == [("POST", "/api/v1/policies", body)] * 2


async def test_a_name_that_is_taken_ends_with_7(cli: Cli, vault: FakeVault) -> None:
    vault.refuses(
        "POST", "/policies", 409, code="policy-exists", detail="gold exists", remedy="Use it"
    )
    result = await cli(*CREATE, "-o", "json")
    assert (result.exit_code, result.stdout) == (7, "")
    assert json.loads(result.stderr)["code"] == "policy-exists"


async def test_a_value_that_the_vault_refuses_is_pointed_at(cli: Cli, vault: FakeVault) -> None:
    vault.refuses(
        "POST",
        "/policies",
        422,
        detail="The policy is wrong",
        remedy="Correct it",
        errors=[{"pointer": "/copy_frequency_seconds", "detail": "at most 86400"}],
    )
    result = await cli(*CREATE)
    assert result.exit_code == 2
    assert result.stderr == (
        "error: The policy is wrong.\n"
        "  /copy_frequency_seconds: at most 86400\n"
        "remedy: Correct it.\n"
    )


async def test_policies_are_listed(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/policies", {"items": [POLICY, {"name": "odd"}]})
    assert (await cli.json("policy", "list"))["items"] == [POLICY, {"name": "odd"}]
    assert (await cli.lines("policy", "list"))[1:] == [
        "gold 30s 1d p1",
        "odd unknown unknown unknown",
    ]
