import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from replikera.cli.client import VaultClient
from replikera.cli.errors import (
    AnswerError,
    AnswerLostError,
    AuthenticationError,
    NotFoundError,
    UnreachableError,
)
from replikera.cli.profile import Profile, load_profile
from replikera.cli.repeating import PAUSES_S
from replikera.identity import Credentials, Role
from replikera.system.files import SystemFiles
from replikera.tls import server_tls
from tests.support.authority import VAULT_ID, Authority, make_authority
from tests.unit.replikera.cli.fake_vault import Answer, FakeVault
from tests.unit.replikera.cli.running import Cli, write_profile


def profile_at(address: str, folder: Path, credentials: Credentials) -> Profile:
    write_profile(folder, credentials, api_address=address)
    return load_profile(SystemFiles(), folder, datetime.now(UTC))


@pytest.fixture
def profile(vault: FakeVault, operator: Credentials, tmp_path: Path) -> Profile:
    return profile_at(vault.address, tmp_path / "profile", operator)


@asynccontextmanager
async def serving(fake: FakeVault, tls: ssl.SSLContext) -> AsyncIterator[FakeVault]:
    server = await fake.start_with(tls)
    try:
        yield fake
    finally:
        await server.close()


async def test_an_object_comes_back_as_it_was_sent(vault: FakeVault, profile: Profile) -> None:
    vault.says("POST", "/policies", {"id": "7", "n": 2**70}, status=201)
    async with VaultClient(profile, Cli(profile.folder).ports) as client:
        assert await client.post("policies", body={"name": "ü"}) == {"id": "7", "n": 2**70}
    assert vault.requests == [("POST", "/api/v1/policies", {"name": "ü"})]


async def test_names_are_one_segment_whatever_they_hold(vault: FakeVault, profile: Profile) -> None:
    vault.says("GET", "/protections/a%2F..%3Fb%20%25/points", {"items": []})
    async with VaultClient(profile, Cli(profile.folder).ports) as client:
        assert await client.get("protections", "a/..?b %", "points") == {"items": []}


async def test_a_refusal_is_a_typed_error(vault: FakeVault, profile: Profile) -> None:
    vault.refuses("GET", "/jobs/9", 404, code="unknown-job", detail="No job 9", remedy="List them")
    async with VaultClient(profile, Cli(profile.folder).ports) as client:
        with pytest.raises(NotFoundError) as caught:
            await client.get("jobs", "9")
    assert caught.value.code == "unknown-job"


async def test_a_redirect_is_not_followed(vault: FakeVault, profile: Profile) -> None:
    vault.blurts("GET", "/vault", Answer(302, b"", location="/api/v1/elsewhere"))
    vault.says("GET", "/elsewhere", {"id": "another"})
    async with VaultClient(profile, Cli(profile.folder).ports) as client:
        with pytest.raises(Exception, match="HTTP 302"):
            await client.get("vault")


async def test_an_answer_without_end_is_cut_off(vault: FakeVault, profile: Profile) -> None:
    vault.says("GET", "/jobs", {"items": ["x" * 1000]})
    async with VaultClient(profile, Cli(profile.folder).ports, answer_limit=1000) as client:
        with pytest.raises(AnswerError, match="larger than 1000 bytes"):
            await client.get("jobs")
    async with VaultClient(profile, Cli(profile.folder).ports, answer_limit=1100) as client:
        assert await client.get("jobs")


async def test_a_vault_that_is_down_is_named_with_its_address(
    operator: Credentials, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    async with VaultClient(profile_at(address, tmp_path, operator), Cli(tmp_path).ports) as client:
        with pytest.raises(UnreachableError, match=f"No vault answers at {address}") as caught:
            await client.get("vault")
    assert "profile.json" in caught.value.remedy


async def test_a_name_that_does_not_resolve_is_unreachable(
    operator: Credentials, tmp_path: Path
) -> None:
    profile = profile_at("vault.invalid:443", tmp_path, operator)
    async with VaultClient(profile, Cli(profile.folder).ports) as client:
        with pytest.raises(UnreachableError, match="No vault answers at vault.invalid:443"):
            await client.get("vault")


async def test_a_vault_that_says_nothing_is_given_up(operator: Credentials, tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        async with VaultClient(
            profile_at(address, tmp_path, operator), Cli(tmp_path).ports, request_timeout=0.2
        ) as client:
            with pytest.raises(UnreachableError, match="did not answer within 0.2 seconds"):
                await client.get("vault")
        await ended.wait()


async def test_a_broken_connection_is_unreachable(vault: FakeVault, profile: Profile) -> None:
    vault.hangs_up_before("POST", "/protections", {}, times=5)
    async with VaultClient(profile, Cli(profile.folder).ports) as client:
        with pytest.raises(UnreachableError, match="without an answer") as caught:
            await client.post("protections", body={})
    assert str(profile.folder) in caught.value.remedy
    assert "look before asking again" in caught.value.remedy
    assert len(vault.requests) == len(PAUSES_S) + 1


async def test_a_request_whose_answer_was_lost_acts_once(
    vault: FakeVault, profile: Profile
) -> None:
    made: list[str] = []

    def make(body: dict[str, str]) -> dict[str, object]:
        made.append(body["name"])
        return {"id": len(made), "name": body["name"]}

    vault.acts("POST", "/policies", make, loses_answers=2)
    cli = Cli(profile.folder)
    async with VaultClient(profile, cli.ports) as client:
        assert await client.post("policies", body={"name": "gold"}) == {"id": 1, "name": "gold"}
        assert await client.post("policies", body={"name": "tin"}) == {"id": 2, "name": "tin"}
    assert made == ["gold", "tin"]
    first, *again, other = vault.keys
    assert again == [first, first]
    assert other not in {first, None}
    assert cli.clock.sleeps == list(PAUSES_S[:2])


async def test_reading_carries_no_key_and_is_not_repeated(
    vault: FakeVault, profile: Profile
) -> None:
    vault.breaks_off("GET", "/vault", b"{")
    cli = Cli(profile.folder)
    async with VaultClient(profile, cli.ports) as client:
        with pytest.raises(AnswerLostError):
            await client.get("vault")
    assert (vault.keys, cli.clock.sleeps) == ([None], [])


async def test_a_query_is_encoded_and_leaves_out_what_is_not_given(
    vault: FakeVault, profile: Profile
) -> None:
    vault.says("GET", "/jobs", {"items": []})
    async with VaultClient(profile, Cli(profile.folder).ports) as client:
        await client.get("jobs", query={"subject": "a&b=ü c", "state": None, "limit": 5})
    assert vault.queries == [{"subject": "a&b=ü c", "limit": "5"}]


async def test_bytes_are_given_as_they_come_and_a_part_is_not_taken_for_all(
    vault: FakeVault, profile: Profile
) -> None:
    parts: list[bytes] = []
    async with VaultClient(profile, Cli(profile.folder).ports) as client:
        vault.blurts("GET", "/vault/backup", Answer(200, b"x" * 300_000, "application/x-tar"))
        await client.download("vault", "backup", sink=parts.append)
        assert b"".join(parts) == b"x" * 300_000
        vault.breaks_off("GET", "/vault/backup", b"x" * 1000)
        with pytest.raises(AnswerLostError):
            await client.download("vault", "backup", sink=parts.append)
        vault.refuses("GET", "/vault/backup", 404, detail="No backup")
        with pytest.raises(NotFoundError, match="No backup"):
            await client.download("vault", "backup", sink=parts.append)


async def test_a_vault_of_another_authority_is_not_believed(
    operator: Credentials, tmp_path: Path
) -> None:
    stranger = make_authority().holder(Role.VAULT, VAULT_ID)
    async with (
        serving(FakeVault(), server_tls(stranger)) as fake,
        VaultClient(profile_at(fake.address, tmp_path, operator), Cli(tmp_path).ports) as client,
    ):
        with pytest.raises(AuthenticationError, match="did not prove to be vault") as caught:
            await client.get("vault")
    assert caught.value.code == "vault-not-trusted"
    assert fake.requests == []


async def test_a_host_of_the_vault_is_not_the_vault(
    authority: Authority, operator: Credentials, tmp_path: Path
) -> None:
    impostor = server_tls(authority.holder(Role.HOST, VAULT_ID))
    async with (
        serving(FakeVault(), impostor) as fake,
        VaultClient(profile_at(fake.address, tmp_path, operator), Cli(tmp_path).ports) as client,
    ):
        with pytest.raises(AuthenticationError, match="did not prove to be vault"):
            await client.get("vault")
    assert fake.requests == []


async def test_a_vault_that_hangs_up_on_the_certificate_is_told_so(
    authority: Authority, operator: Credentials, tmp_path: Path
) -> None:
    """The certificate is of another authority; a profile like that is refused before, here it is not looked at."""
    foreign = make_authority().issue(Role.OPERATOR, "ada")
    mixed = Credentials(foreign.certificate_chain, foreign.private_key, operator.root_certificate)
    own = profile_at("127.0.0.1:1", tmp_path, operator)
    tls = server_tls(authority.holder(Role.VAULT, VAULT_ID))
    async with serving(FakeVault(), tls) as fake:
        profile = replace(own, api_address=fake.address, credentials=mixed)
        async with VaultClient(profile, Cli(tmp_path).ports) as client:
            with pytest.raises(AnswerLostError) as caught:
                await client.get("vault")
    assert f"refuses the certificate in {tmp_path}" in caught.value.remedy
    assert fake.requests == []
