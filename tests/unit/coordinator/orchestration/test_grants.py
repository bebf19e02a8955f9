from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain.grants import BACKDATE, LIFE
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.orchestration.grants import renew_grants, signed_grant
from coordinator.orchestration.trust import revoke_host
from coordinator.orchestration.vault import Vault
from replikera.trust.grant import Grant, open_grant
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import BY_ANN, kinds, protect, save, the_protection

LATER = LIFE * 0.56


def read(vault: Vault, protection: Protection) -> Grant:
    return open_grant(
        signed_grant(vault, protection),
        vault_id=vault.record.id,
        root_certificate=vault.authority.root_certificate,
        now=vault.clock.now(),
    )


async def test_a_grant_says_who_may_send_what_to_whom_until_when(
    vault: Vault, clock: VirtualClock
) -> None:
    protection = await protect(vault)
    assert read(vault, protection) == Grant(
        vault_id=vault.record.id,
        protection_id=protection.id,
        epoch=protection.epoch_number,
        generation=protection.generation,
        source_host_id=SOURCE.id,
        target_host_id=TARGET.id,
        version=1,
        not_before=clock.now() - BACKDATE,
        not_after=clock.now() + LIFE,
    )
    assert (await kinds(vault)).count("grant-issued") == 1


async def test_a_protection_whose_last_grant_is_not_known_has_none(vault: Vault) -> None:
    protection = await protect(vault)
    adopted = replace(protection, grant_version=9, grant_issued_at=None, grant_not_after=None)
    assert signed_grant(vault, adopted) == b""


async def test_grants_are_renewed_at_half_of_their_life_and_their_sources_woken(
    vault: Vault, clock: VirtualClock
) -> None:
    before = await protect(vault)
    sessions = [vault.presence.begin(SOURCE.id), vault.presence.begin(TARGET.id)]
    for session in sessions:
        session.work_waiting.clear()
    history = await kinds(vault)
    assert await renew_grants(vault) == 0
    clock.advance(LATER.total_seconds())
    assert await renew_grants(vault) == 1
    assert await renew_grants(vault) == 0
    protection = await the_protection(vault)
    assert protection.grant_version == before.grant_version + 1
    assert read(vault, protection).not_after == clock.now() + LIFE
    assert [session.work_waiting.is_set() for session in sessions] == [True, False]
    assert await kinds(vault) == history


@pytest.mark.parametrize("name", ["a1", "b1"])
async def test_a_protection_with_a_host_that_is_not_trusted_gets_no_grant(
    vault: Vault, clock: VirtualClock, name: str
) -> None:
    await protect(vault)
    await revoke_host(vault, BY_ANN, name, "")
    clock.advance(LATER.total_seconds())
    assert await renew_grants(vault) == 0


async def test_a_failed_protection_gets_its_grant_when_it_is_enabled_again(
    vault: Vault, clock: VirtualClock
) -> None:
    await save(vault, replace(await protect(vault), state=ProtectionState.FAILED))
    clock.advance(LATER.total_seconds())
    assert await renew_grants(vault) == 0


async def test_a_grant_that_was_adopted_without_its_end_is_renewed_at_once(vault: Vault) -> None:
    adopted = replace(await protect(vault), grant_version=9)
    await save(vault, replace(adopted, grant_issued_at=None, grant_not_after=None))
    assert await renew_grants(vault) == 1
    assert (await the_protection(vault)).grant_version == 10


async def test_a_vault_that_reconciles_gives_none(vault: Vault, clock: VirtualClock) -> None:
    await protect(vault)
    clock.advance(LATER.total_seconds())
    async with vault.store.write() as records:
        await vault.reconciliation.begin(records, "it was restored", clock.now())
    assert await renew_grants(vault) == 0


async def test_what_is_longest_overdue_comes_first(vault: Vault, clock: VirtualClock) -> None:
    protection = await protect(vault)
    soon = replace(protection, grant_not_after=clock.now() + timedelta(hours=1))
    await save(vault, soon)
    async with vault.store.read() as records:
        assert await records.grants_ending(clock.now() + LIFE * 2, 10) == (soon,)
        assert await records.grants_ending(clock.now(), 10) == ()
