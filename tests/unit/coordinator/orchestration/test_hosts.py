from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from coordinator.domain.errors import InvalidValueError, KeyRefusedError, RefusedError
from coordinator.domain.hosts import AgentRun
from coordinator.orchestration.hosts import JoinRequest, Membership, join
from coordinator.orchestration.invitations import Invitation, invite_host, readmit_host
from coordinator.orchestration.sites import create_site
from coordinator.orchestration.trust import revoke_host
from coordinator.orchestration.vault import Vault
from replikera.enrolment import parse_join_line
from replikera.identity import caller_from_certificate, generate_private_key, signing_request
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import SOURCE
from tests.unit.coordinator.vaults import BY_ANN, kinds, member, save, states, the_host

KEY = generate_private_key()
HOUR = timedelta(hours=1)


def asking(invitation: Invitation, name: str = "a1", **more: str) -> JoinRequest:
    line = parse_join_line(invitation.join_line)
    request = JoinRequest(line.key_id, line.secret, signing_request(KEY), name, "gold")
    return replace(request, **more)  # type: ignore[arg-type]  # text fields of it


async def request(vault: Vault, name: str = "a1", **more: str) -> JoinRequest:
    async with vault.store.read() as records:
        is_there = await records.sites.is_taken("a")
    if not is_there:
        await create_site(vault, BY_ANN, "a")
    return asking(await invite_host(vault, BY_ANN, "a", HOUR), name, **more)


async def readmitted(vault: Vault, **more: str) -> Membership:
    return await join(vault, asking(await readmit_host(vault, BY_ANN, "a1", "", HOUR), **more))


async def test_a_host_joins_the_site_of_its_key_in_one_step(vault: Vault) -> None:
    joined = await join(vault, await request(vault))
    assert joined.site == "a"
    caller = caller_from_certificate(joined.certificate_chain)
    assert caller.name == joined.host_id
    async with vault.store.read() as records:
        host = await records.hosts.get("a1")
        assert (host.id, host.site, host.cloud) == (joined.host_id, "a", "gold")
        (key,) = await records.keys.all()
        assert key.host_id == host.id
        assert [cloud.name for cloud in await records.clouds.all()] == ["gold"]
    assert await states(vault, joined.host_id) == {caller.certificate_id: "issued"}


async def test_the_same_request_twice_is_answered_the_same_and_registers_once(
    vault: Vault,
) -> None:
    asked = await request(vault)
    first = await join(vault, asked)
    assert await join(vault, asked) == first
    assert len(await states(vault, first.host_id)) == 1
    async with vault.store.read() as records:
        assert len(await records.hosts.all()) == 1


async def test_a_flood_of_strangers_takes_no_turn_of_the_writer_and_changes_nothing(
    vault: Vault,
) -> None:
    asked = await request(vault, secret="A" * 43)
    before = _content(vault.store.path.parent)
    async with vault.store.write():
        for _ in range(50):
            with pytest.raises(KeyRefusedError):
                await join(vault, asked)
    assert _content(vault.store.path.parent) == before


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


async def test_a_host_that_has_an_id_is_not_made_another_one(vault: Vault) -> None:
    with pytest.raises(RefusedError) as caught:
        await join(vault, await request(vault, existing_host_id="host-1"))
    assert caught.value.code == "host-joined-already"
    assert "replikera host readmit" in caught.value.remedy
    async with vault.store.read() as records:
        assert await records.hosts.all() == ()


@pytest.mark.parametrize("existing", ["", SOURCE.id])
async def test_a_readmitted_host_is_the_same_host_with_one_good_certificate(
    vault: Vault, existing: str
) -> None:
    await save(vault, replace(SOURCE, start_count=9, run_id="r"))
    stolen = await member(vault, SOURCE.id)
    await revoke_host(vault, BY_ANN, "a1", "stolen")
    joined = await readmitted(vault, existing_host_id=existing, host_name="renamed")
    assert (joined.host_id, joined.site) == (SOURCE.id, SOURCE.site)
    fresh = caller_from_certificate(joined.certificate_chain)
    host = await the_host(vault, SOURCE.id)
    host.check_trusted()
    assert (host.name, host.run) == ("a1", AgentRun(0, ""))
    assert await states(vault, SOURCE.id) == {
        stolen.certificate_id: "denied",
        fresh.certificate_id: "issued",
    }
    assert vault.denials.refusal(stolen) is not None
    assert vault.denials.refusal(fresh) is None
    assert (await kinds(vault))[-3:] == ["deny-list-changed", "host-rejoined", "cloud-created"]


async def test_readmission_denies_what_the_host_had_even_if_it_was_active(vault: Vault) -> None:
    await save(vault, SOURCE)
    before = [await member(vault, SOURCE.id), await member(vault, SOURCE.id)]
    await readmitted(vault)
    assert all(vault.denials.refusal(caller) for caller in before)


async def test_a_lost_answer_to_a_readmission_is_given_again(vault: Vault) -> None:
    await save(vault, SOURCE)
    asked = asking(await readmit_host(vault, BY_ANN, "a1", "", HOUR))
    first = await join(vault, asked)
    assert await join(vault, asked) == first
    assert len(await states(vault, SOURCE.id)) == 1


async def test_a_key_for_a_readmission_is_refused_to_another_host(vault: Vault) -> None:
    await save(vault, SOURCE)
    with pytest.raises(KeyRefusedError) as caught:
        await readmitted(vault, existing_host_id="another")
    assert caught.value.code == "registration-key-of-another-host"
    assert await states(vault, SOURCE.id) == {}


async def test_an_answer_that_is_repeated_never_brings_a_denied_certificate_back(
    vault: Vault,
) -> None:
    asked = await request(vault)
    joined = await join(vault, asked)
    await revoke_host(vault, BY_ANN, "a1", "")
    again = await join(vault, asked)
    assert again == joined
    assert vault.denials.refusal(caller_from_certificate(again.certificate_chain)) is not None


async def test_nobody_joins_a_vault_that_does_not_know_what_it_has_forgotten(
    vault: Vault,
) -> None:
    asked = await request(vault)
    async with vault.store.write() as records:
        await vault.reconciliation.begin(records, "it was restored", vault.clock.now())
    with pytest.raises(RefusedError) as caught:
        await join(vault, asked)
    assert caught.value.code == "vault-reconciling"


def _content(folder: Path) -> dict[str, bytes]:
    """Return the database and its log; the third file has only who reads it now."""
    return {name: (folder / name).read_bytes() for name in ("vault.db", "vault.db-wal")}
