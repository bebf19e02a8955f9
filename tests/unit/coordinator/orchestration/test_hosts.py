from datetime import timedelta

import pytest

from coordinator.domain.errors import InvalidValueError, KeyRefusedError, RefusedError
from coordinator.orchestration.hosts import JoinRequest, invite_host, join
from coordinator.orchestration.vault import Vault
from replikera.enrolment import parse_join_line
from replikera.identity import caller_from_certificate, generate_private_key, signing_request
from tests.support.virtual_clock import VirtualClock

KEY = generate_private_key()


async def request(vault: Vault, name: str = "a1", **more: str) -> JoinRequest:
    invitation = await invite_host(vault, "a", timedelta(hours=1))
    line = parse_join_line(invitation.join_line)
    secret = more.get("secret", line.secret)
    return JoinRequest(line.key_id, secret, signing_request(KEY), name, "gold")


async def test_an_invitation_tells_where_and_whom_to_trust_and_keeps_no_secret(
    vault: Vault,
) -> None:
    invitation = await invite_host(vault, "a", timedelta(hours=1))
    line = parse_join_line(invitation.join_line)
    assert line.key_id == invitation.key.id
    assert line.address == "vault.test:7401"
    assert line.root_fingerprint == vault.authority.fingerprint
    await vault.store.close()
    for path in vault.store.path.parent.glob("vault.db*"):
        assert line.secret.encode() not in path.read_bytes()


async def test_a_host_joins_the_site_of_its_key_in_one_step(vault: Vault) -> None:
    member = await join(vault, await request(vault))
    assert member.site == "a"
    assert caller_from_certificate(member.certificate_chain).name == member.host_id
    async with vault.store.read() as records:
        host = await records.hosts.get("a1")
        assert (host.id, host.site, host.cloud) == (member.host_id, "a", "gold")
        (key,) = await records.keys.all()
        assert key.host_id == host.id


async def test_the_same_request_twice_is_answered_the_same_and_registers_once(
    vault: Vault,
) -> None:
    asked = await request(vault)
    assert await join(vault, asked) == await join(vault, asked)
    async with vault.store.read() as records:
        assert len(await records.hosts.all()) == 1


async def test_a_stranger_never_takes_the_writers_turn(vault: Vault) -> None:
    asked = await request(vault, secret="A" * 43)
    async with vault.store.write():
        with pytest.raises(KeyRefusedError):
            await join(vault, asked)


async def test_a_refused_name_leaves_the_key_unused(vault: Vault) -> None:
    await join(vault, await request(vault))
    for name, error in (
        ("a1", RefusedError),
        ("", InvalidValueError),
        ("a\x00", InvalidValueError),
    ):
        with pytest.raises(error):
            await join(vault, await request(vault, name))
    async with vault.store.read() as records:
        assert len(await records.hosts.all()) == 1
        assert [key.used_at is None for key in await records.keys.all()].count(False) == 1


async def test_an_expired_key_does_not_open(vault: Vault, clock: VirtualClock) -> None:
    asked = await request(vault)
    clock.advance(3600)
    with pytest.raises(KeyRefusedError) as caught:
        await join(vault, asked)
    assert caught.value.code == "registration-key-expired"
