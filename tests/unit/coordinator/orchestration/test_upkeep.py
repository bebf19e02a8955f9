import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from typing_extensions import override

from coordinator.domain.certificates import CertificateState
from coordinator.domain.commands import by_operator
from coordinator.domain.errors import RefusedError
from coordinator.domain.grants import LIFE
from coordinator.domain.identifiers import HostId
from coordinator.orchestration import upkeep as module
from coordinator.orchestration.sites import create_site
from coordinator.orchestration.trust import current_deny_list, revoke_host
from coordinator.orchestration.upkeep import KEEP_EXPIRED, ROUND_SECONDS, Upkeep
from coordinator.orchestration.vault import Vault
from coordinator.store.errors import StoreError
from replikera.trust.deny_list import open_deny_list
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import (
    BY_ANN,
    machinery,
    member,
    protect,
    save,
    state_in,
    states,
    the_host,
    the_protection,
)

HALF = timedelta(days=3.6)


@pytest.fixture
def upkeep(vault: Vault, clock: VirtualClock, tmp_path: Path) -> Upkeep:
    return Upkeep(vault, machinery(clock), state_in(tmp_path))


async def test_contacts_of_all_hosts_are_kept_in_one_transaction(
    vault: Vault, upkeep: Upkeep, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await save(vault, SOURCE, TARGET)
    vault.presence.begin(SOURCE.id, 3)
    left = vault.presence.begin(TARGET.id, 4)
    clock.advance(5)
    left.heard()
    vault.presence.end(left)
    await upkeep.keep_contacts()
    source, target = await the_host(vault, SOURCE.id), await the_host(vault, TARGET.id)
    assert (source.last_seen_at, source.deny_list_version) == (
        clock.now() - timedelta(seconds=5),
        3,
    )
    assert (target.last_seen_at, target.deny_list_version) == (clock.now(), 4)
    assert target.name == TARGET.name

    def never() -> None:
        raise AssertionError("there is nothing to write")

    monkeypatch.setattr(vault.store, "write", never)
    await upkeep.keep_contacts()


async def test_a_round_that_fails_is_told_and_the_next_one_does_its_work(
    vault: Vault, upkeep: Upkeep, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await save(vault, SOURCE)
    vault.presence.begin(SOURCE.id)
    lines: list[str] = []
    monkeypatch.setattr(module.log, "warning", lambda _event, **facts: lines.append(facts["duty"]))

    def full() -> None:
        raise StoreError("disk-full", "The disk is full.", "Free space.")

    with monkeypatch.context() as broken:
        broken.setattr(vault.store, "write", full)
        await upkeep.round()
    assert lines == ["keep_contacts", "prune"]
    clock.advance(ROUND_SECONDS)
    await upkeep.round()
    assert (await the_host(vault, SOURCE.id)).last_seen_at is not None


async def test_a_deny_list_that_could_not_be_published_is_published_later(
    vault: Vault, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    await save(vault, SOURCE)
    caller = await member(vault, SOURCE.id)

    def broken() -> None:
        raise StoreError("database-failed", "It failed.", "Look.")

    with monkeypatch.context() as failing:
        failing.setattr(vault.store, "read", broken)
        with pytest.raises(StoreError):
            await revoke_host(vault, BY_ANN, "a1", "")
    assert vault.denials.refusal(caller) is None
    await upkeep.obey_deny_list()
    assert vault.denials.refusal(caller) is not None


async def test_the_servers_certificate_is_renewed_at_half_of_its_life(
    vault: Vault, upkeep: Upkeep, clock: VirtualClock
) -> None:
    before = vault.server.current
    told: list[bytes] = []
    vault.server.subscribe(lambda credentials: told.append(credentials.certificate_chain))
    await upkeep.renew_server()
    assert vault.server.current is before
    clock.advance(HALF.total_seconds())
    await upkeep.renew_server()
    renewed = vault.server.current
    assert renewed.caller.not_after - before.caller.not_after == HALF
    assert told == [renewed.certificate_chain]
    await upkeep.renew_server()
    assert len(told) == 1


async def test_a_renewed_signer_signs_the_deny_list_anew(
    vault: Vault, upkeep: Upkeep, clock: VirtualClock
) -> None:
    await save(vault, SOURCE)
    await revoke_host(vault, BY_ANN, "a1", "")
    first = current_deny_list(vault)
    await upkeep.renew_signer()
    assert current_deny_list(vault) == first
    clock.advance(timedelta(days=46).total_seconds())
    await upkeep.renew_signer()
    assert current_deny_list(vault) != first
    clock.advance(timedelta(days=45).total_seconds())
    opened = open_deny_list(
        current_deny_list(vault),
        vault_id=vault.record.id,
        root_certificate=vault.authority.root_certificate,
        now=clock.now(),
    )
    assert opened.version == 1


async def test_grants_are_renewed(vault: Vault, upkeep: Upkeep, clock: VirtualClock) -> None:
    await protect(vault)
    clock.advance((LIFE * 0.6).total_seconds())
    await upkeep.renew_grants()
    assert (await the_protection(vault)).grant_version == 2


async def test_what_is_over_is_dropped_and_what_is_denied_stays_until_it_expires(
    vault: Vault, upkeep: Upkeep, clock: VirtualClock
) -> None:
    await save(vault, SOURCE)
    old = await member(vault, SOURCE.id, CertificateState.DENIED)
    clock.advance((timedelta(days=6)).total_seconds())
    await upkeep.prune()
    assert await states(vault, SOURCE.id) == {old.certificate_id: "denied"}
    clock.advance((timedelta(days=1) + KEEP_EXPIRED).total_seconds() + 1)
    newer = await member(vault, SOURCE.id)
    await upkeep.prune()
    assert await states(vault, SOURCE.id) == {newer.certificate_id: "active"}


async def test_a_request_is_remembered_for_a_day(
    vault: Vault, upkeep: Upkeep, clock: VirtualClock
) -> None:
    command = by_operator("ann", "key", b"digest")
    await create_site(vault, command, "a")
    clock.advance(86_000)
    await upkeep.prune()
    async with vault.store.read() as records:
        assert await records.done(command) is not None
    clock.advance(401)
    await upkeep.prune()
    async with vault.store.read() as records:
        assert await records.done(command) is None


async def test_a_vault_that_nobody_has_to_tell_anything_serves_again(
    vault: Vault, upkeep: Upkeep
) -> None:
    async with vault.store.write() as records:
        await vault.reconciliation.begin(records, "it was restored", vault.clock.now())
    await upkeep.finish_reconciliation()
    assert not vault.reconciliation.is_reconciling


class CountingClock(VirtualClock):
    """A clock that stands still after some sleeps."""

    left = 7

    @override
    async def sleep(self, seconds: float) -> None:
        if self.left == 0:
            await asyncio.Event().wait()
        self.left -= 1
        await super().sleep(seconds)


async def test_every_duty_is_done_in_its_time_until_it_is_told_to_end(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = CountingClock()
    monkeypatch.setattr(Vault, "clock", clock)
    upkeep = Upkeep(vault, machinery(clock), state_in(tmp_path))
    done: list[str] = []

    async def note(duty: module.Duty) -> None:
        done.append(duty.__name__)

    monkeypatch.setattr(upkeep, "_try", note)
    running = asyncio.ensure_future(upkeep.run())
    while clock.left:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert done.count("keep_contacts") == 8
    assert done.count("renew_grants") == 3
    assert done.count("prune") == 1


async def test_the_last_contacts_are_kept_at_the_end(vault: Vault, upkeep: Upkeep) -> None:
    await save(vault, SOURCE)
    vault.presence.end(vault.presence.begin(SOURCE.id))
    await upkeep.finish()
    assert (await the_host(vault, SOURCE.id)).last_seen_at == vault.clock.now()


async def test_a_contact_with_a_host_that_is_gone_does_no_harm(
    vault: Vault, upkeep: Upkeep
) -> None:
    vault.presence.begin(HostId("nobody"))
    await upkeep.keep_contacts()
    assert vault.presence.contacts() == ()


async def test_what_is_refused_meanwhile_costs_a_round_and_not_the_vault(
    upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(module.log, "warning", lambda _event, **facts: lines.append(facts["error"]))

    async def refuse(_vault: Vault) -> int:
        raise RefusedError("gone", "It is gone.", "Look.")

    monkeypatch.setattr(module, "end_rehearsals", refuse)
    await upkeep.round()
    assert lines == ["It is gone. Look."]
