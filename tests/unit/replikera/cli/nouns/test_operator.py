import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from replikera.cli.profile import load_profile
from replikera.identity import Credentials, load_credentials
from replikera.system.files import SystemFiles
from tests.support.authority import Authority
from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.issuing import Issuing
from tests.unit.replikera.cli.running import Cli

FILES = SystemFiles()
BEN = {
    "id": "o1",
    "name": "ben",
    "role": "reader",
    "created_at": "2026-11-22T20:14:55Z",
    "revoked_at": None,
}
CREATE = ("operator", "create", "ben", "--role", "reader", "--profile")


async def test_an_operator_is_created_with_a_profile_of_its_own(
    cli: Cli, vault: FakeVault, authority: Authority, tmp_path: Path
) -> None:
    vault.acts("POST", "/operators", Issuing(authority))
    folder = tmp_path / "ben"
    result = await cli(*CREATE, str(folder))
    assert result.exit_code == 0, result.stderr
    assert "good until 2026-12-22 20:14:55Z" in result.stderr
    assert f"next: replikera --profile {folder} status" in result.stderr
    profile = load_profile(FILES, folder, datetime.now(UTC))
    assert profile.credentials.caller.name == "ben"
    assert profile.api_address == vault.address
    sent = vault.requests[0][2]
    assert (sent["name"], sent["role"]) == ("ben", "reader")
    vault.says("GET", "/vault", {"name": "lab"})
    as_ben = await cli.in_thread("--profile", str(folder), "-o", "json", "vault", "show")
    assert json.loads(as_ben.stdout) == {"name": "lab"}


async def test_programs_get_the_operator_without_its_certificate(
    cli: Cli, vault: FakeVault, authority: Authority, tmp_path: Path
) -> None:
    vault.acts("POST", "/operators", Issuing(authority))
    folder = tmp_path / "ben"
    made = await cli.json(*CREATE, str(folder))
    assert made == {**BEN, "not_after": "2026-12-22T20:14:55Z", "profile": str(folder)}


async def test_a_creation_whose_answer_was_lost_makes_one_operator(
    cli: Cli, vault: FakeVault, authority: Authority, tmp_path: Path
) -> None:
    issuing = Issuing(authority)
    vault.acts("POST", "/operators", issuing, loses_answers=2)
    assert (await cli(*CREATE, str(tmp_path / "ben"))).exit_code == 0
    assert len(issuing.keys) == 1


async def test_a_creation_that_was_given_up_goes_on_when_it_is_run_again(
    cli: Cli, vault: FakeVault, authority: Authority, tmp_path: Path
) -> None:
    issuing = Issuing(authority)
    vault.acts("POST", "/operators", issuing, loses_answers=99)
    first = await cli(*CREATE, str(tmp_path / "ben"))
    assert (first.exit_code, first.stdout) == (1, "")
    assert "may have been done" in first.stderr
    vault.acts("POST", "/operators", issuing)
    assert (await cli(*CREATE, str(tmp_path / "ben"))).exit_code == 0
    assert len(issuing.keys) == len(set(vault.keys)) == 1


async def test_a_refusal_leaves_the_folder_free(
    cli: Cli, vault: FakeVault, authority: Authority, tmp_path: Path
) -> None:
    vault.refuses("POST", "/operators", 409, code="operator-name-taken", detail="Taken")
    assert (await cli(*CREATE, str(tmp_path / "ben"))).exit_code == 7
    vault.acts("POST", "/operators", Issuing(authority))
    other = ("operator", "create", "bob", "--role", "owner", "--profile", str(tmp_path / "ben"))
    assert (await cli(*other)).exit_code == 0


async def test_an_existing_profile_is_kept(cli: Cli, vault: FakeVault) -> None:
    result = await cli(*CREATE, str(cli.profile))
    assert (result.exit_code, vault.requests) == (7, [])


@pytest.mark.parametrize(
    "words", [("ben", "--role", "king", "--profile", "/p"), ("ben", "--role", "owner"), ()]
)
async def test_an_unknown_role_or_a_missing_folder_is_wrong_usage(
    cli: Cli, vault: FakeVault, words: tuple[str, ...]
) -> None:
    result = await cli("operator", "create", *words)
    assert (result.exit_code, vault.requests) == (2, [])


async def test_operators_are_listed(cli: Cli, vault: FakeVault) -> None:
    revoked = {**BEN, "name": "eve", "revoked_at": "2026-11-23T20:14:55Z"}
    vault.says("GET", "/operators", {"items": [BEN, revoked], "next_cursor": None})
    assert await cli.lines("operator", "list") == [
        "OPERATOR ROLE CREATED REVOKED ID",
        "ben reader 2026-11-22 20:14:55Z - o1",
        "eve reader 2026-11-22 20:14:55Z 2026-11-23 20:14:55Z o1",
    ]


async def test_a_revocation_is_confirmed_by_name(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/operators/ben/revoke", BEN)
    assert (await cli("operator", "revoke", "ben")).exit_code == 3
    assert vault.requests == []
    assert (
        await cli.json("operator", "revoke", "ben", "--confirm", "ben", "--reason", "left") == BEN
    )
    assert vault.requests == [("POST", "/api/v1/operators/ben/revoke", {"reason": "left"})]


async def test_a_renewal_is_used_at_once(
    cli: Cli, vault: FakeVault, authority: Authority, operator: Credentials
) -> None:
    vault.acts("POST", "/operators/self/renew", Issuing(authority, "ada"))
    vault.says("GET", "/operators/self", {**BEN, "name": "ada"})
    result = await cli("operator", "renew")
    assert result.exit_code == 0, result.stderr
    assert f"The new certificate in {cli.profile} is good until" in result.stderr
    assert load_credentials(FILES, cli.profile) != operator
    assert [request[0] for request in vault.requests] == ["POST", "GET"]
    vault.acts("POST", "/operators/self/renew", Issuing(authority, "ada"))
    renewed = await cli.json("operator", "renew")
    assert (renewed["name"], renewed["profile"]) == ("ada", str(cli.profile))
