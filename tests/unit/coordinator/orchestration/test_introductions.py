import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from coordinator.authority.requests import requested_key
from coordinator.domain.certificates import CertificateState
from coordinator.domain.errors import ForbiddenError, InvalidValueError, RefusedError
from coordinator.domain.hello import HostHello
from coordinator.domain.hosts import AgentRun, HostFacts, HostState
from coordinator.domain.identifiers import HostId, KeyId
from coordinator.domain.protections import ProtectionState
from coordinator.domain.registration_keys import RegistrationKey
from coordinator.orchestration.introductions import introduce
from coordinator.orchestration.issuing import issue_certificate
from coordinator.orchestration.soft_state import LATE_SECONDS
from coordinator.orchestration.trust import revoke_host
from coordinator.orchestration.vault import Vault
from replikera.identity import (
    Caller,
    Role,
    caller_from_certificate,
    generate_private_key,
    signing_request,
    uri_name,
)
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import SOURCE, TARGET, protection_in
from tests.unit.coordinator.vaults import BY_ANN, equip, kinds, member, save, states, the_host

FACTS = HostFacts("gold", "hyperv", "1.0", "a1:9", timedelta(seconds=30))
HELLO = HostHello(FACTS, "a1", start_count=1, run_id="run-1")


@pytest.fixture
async def caller(vault: Vault) -> Caller:
    await save(vault, SOURCE, TARGET)
    return await member(vault, SOURCE.id)


def run(number: int) -> HostHello:
    return replace(HELLO, start_count=number, run_id=f"run-{number}")


async def refused(vault: Vault, caller: Caller, hello: HostHello = HELLO) -> str:
    with pytest.raises(ForbiddenError) as caught:
        await introduce(vault, caller, hello)
    assert caught.value.remedy
    return caught.value.code


async def head(vault: Vault) -> tuple[int, bytes]:
    async with vault.store.read() as records:
        anchor = await records.head()
    return anchor.number, anchor.digest


async def test_what_a_host_says_at_first_is_kept(
    vault: Vault, caller: Caller, clock: VirtualClock
) -> None:
    clock.advance(60)
    introduction = await introduce(vault, caller, replace(HELLO, deny_list_version=0))
    assert (introduction.anchor.number, introduction.anchor.digest) == await head(vault)
    assert not introduction.is_reconciling
    assert not introduction.wants_deny_list
    host = await the_host(vault, SOURCE.id)
    assert (host.hypervisor, host.replication_address) == ("hyperv", "a1:9")
    assert (host.last_seen_at, host.run) == (clock.now(), AgentRun(1, "run-1"))
    async with vault.store.read() as records:
        assert [cloud.name for cloud in await records.clouds.all()] == ["gold"]


async def test_a_host_that_says_nothing_new_costs_no_write(
    vault: Vault, caller: Caller, clock: VirtualClock
) -> None:
    await introduce(vault, caller, HELLO)
    before, log = await the_host(vault, SOURCE.id), vault.store.path.with_name("vault.db-wal")
    written = log.read_bytes()
    clock.advance(60)
    await introduce(vault, caller, HELLO)
    assert log.read_bytes() == written
    assert await the_host(vault, SOURCE.id) == before


async def test_the_first_use_of_a_renewed_certificate_supersedes_the_one_before(
    vault: Vault, caller: Caller, clock: VirtualClock
) -> None:
    clock.advance(60)
    renewed = await member(vault, SOURCE.id, CertificateState.ISSUED)
    await introduce(vault, caller, HELLO)
    await introduce(vault, renewed, HELLO)
    assert await states(vault, SOURCE.id) == {
        caller.certificate_id: "superseded",
        renewed.certificate_id: "active",
    }


async def test_a_replaced_certificate_quarantines_the_host_at_once(
    vault: Vault, caller: Caller, clock: VirtualClock
) -> None:
    clock.advance(60)
    renewed = await member(vault, SOURCE.id, CertificateState.ISSUED)
    await introduce(vault, renewed, HELLO)
    clock.advance(LATE_SECONDS)
    live = asyncio.ensure_future(vault.denials.denied(renewed))
    assert await refused(vault, caller) == "host-quarantined"
    assert await asyncio.wait_for(live, 5)
    host = await the_host(vault, SOURCE.id)
    assert host.state is HostState.QUARANTINED
    assert "replikera host readmit a1" in (host.remedy or "")
    assert set((await states(vault, SOURCE.id)).values()) == {"denied"}
    assert await refused(vault, renewed) == "host-quarantined"
    assert vault.denials.refusal(await member(vault, TARGET.id)) is None
    assert (await kinds(vault))[-2:] == ["host-quarantined", "deny-list-changed"]


async def test_what_the_host_sent_before_it_went_over_to_its_next_certificate_is_no_copy(
    vault: Vault, caller: Caller, clock: VirtualClock
) -> None:
    clock.advance(60)
    renewed = await member(vault, SOURCE.id, CertificateState.ISSUED)
    await introduce(vault, renewed, run(5))
    clock.advance(LATE_SECONDS - 1)
    with pytest.raises(RefusedError) as caught:
        await introduce(vault, caller, run(5))
    assert caught.value.code == "certificate-superseded"
    await introduce(vault, renewed, run(5))
    assert await refused(vault, caller, run(6)) == "host-quarantined"


@pytest.mark.parametrize(
    "second", [run(1), run(4), replace(run(5), run_id="another"), HostHello(FACTS)]
)
async def test_a_second_agent_with_the_same_identity_quarantines_the_host(
    vault: Vault, caller: Caller, second: HostHello
) -> None:
    await introduce(vault, caller, run(5))
    assert await refused(vault, caller, second) == "host-quarantined"
    assert "copy" in ((await the_host(vault, SOURCE.id)).cause or "")
    assert await refused(vault, caller, run(6)) == "host-quarantined"


async def test_an_agent_comes_again_after_a_broken_connection_and_after_a_restart(
    vault: Vault, caller: Caller
) -> None:
    for hello in (run(5), run(5), run(6), run(9)):
        await introduce(vault, caller, hello)
    assert (await the_host(vault, SOURCE.id)).run == AgentRun(9, "run-9")


async def test_an_agent_that_does_not_count_its_runs_is_believed_as_long_as_none_did(
    vault: Vault, caller: Caller
) -> None:
    for _ in range(2):
        await introduce(vault, caller, HostHello(FACTS))


async def test_a_host_that_is_not_trusted_is_refused_and_nothing_of_it_is_kept(
    vault: Vault, caller: Caller
) -> None:
    await revoke_host(vault, BY_ANN, "a1", "stolen")
    before = await the_host(vault, SOURCE.id)
    assert await refused(vault, caller) == "host-revoked"
    assert await the_host(vault, SOURCE.id) == before


async def test_a_denied_certificate_of_a_trusted_host_is_refused(
    vault: Vault, caller: Caller
) -> None:
    denied = await member(vault, SOURCE.id, CertificateState.DENIED)
    assert await refused(vault, denied) == "certificate-denied"
    await introduce(vault, caller, HELLO)


async def test_a_host_is_who_its_certificate_says_whatever_it_calls_itself(
    vault: Vault, caller: Caller
) -> None:
    await introduce(vault, caller, replace(HELLO, name=TARGET.name))
    assert (await the_host(vault, SOURCE.id)).replication_address == "a1:9"
    assert await the_host(vault, TARGET.id) == TARGET


async def test_a_certificate_of_a_lost_history_shows_that_the_vault_was_restored(
    vault: Vault, caller: Caller, clock: VirtualClock
) -> None:
    clock.advance(60)
    unknown = await member(vault, SOURCE.id, is_kept=False)
    await _protected_elsewhere(vault)
    introduction = await introduce(vault, unknown, HELLO)
    assert introduction.is_reconciling
    assert await states(vault, SOURCE.id) == {
        caller.certificate_id: "superseded",
        unknown.certificate_id: "active",
    }
    assert "vault-reconciling" in await kinds(vault)


async def test_an_unknown_certificate_that_is_older_than_the_known_ones_is_a_copy(
    vault: Vault, clock: VirtualClock
) -> None:
    await save(vault, SOURCE)
    old = await member(vault, SOURCE.id, is_kept=False)
    clock.advance(60)
    newer = await member(vault, SOURCE.id)
    assert await refused(vault, old) == "host-quarantined"
    assert vault.denials.refusal(newer) is not None
    assert await states(vault, SOURCE.id) == {
        old.certificate_id: "denied",
        newer.certificate_id: "denied",
    }


async def test_a_certificate_from_before_there_was_a_register_is_taken_over(vault: Vault) -> None:
    await save(vault, SOURCE)
    public_key = requested_key(signing_request(generate_private_key()))
    chain = issue_certificate(vault, Role.HOST, SOURCE.id, public_key).chain
    caller = caller_from_certificate(chain)
    key = RegistrationKey(
        KeyId("k"),
        b"h",
        "a",
        vault.clock.now(),
        vault.clock.now(),
        used_at=vault.clock.now(),
        host_id=SOURCE.id,
        certificate_chain=chain,
    )
    await save(vault, key)
    introduction = await introduce(vault, caller, HELLO)
    assert not introduction.is_reconciling
    assert await states(vault, SOURCE.id) == {caller.certificate_id: "active"}


@pytest.mark.parametrize("name", ["x1", "a1", "not/a/name", ""])
async def test_a_host_that_the_vault_does_not_know_is_kept_in_quarantine(
    vault: Vault, caller: Caller, name: str
) -> None:
    stranger = await member(vault, HostId("stranger-host"), is_kept=False)
    assert await refused(vault, stranger, replace(HELLO, name=name)) == "host-quarantined"
    host = await the_host(vault, HostId("stranger-host"))
    assert host.name == ("x1" if name == "x1" else "stranger-host")
    assert host.state is HostState.QUARANTINED
    assert await states(vault, host.id) == {stranger.certificate_id: "denied"}
    identity = uri_name(Role.HOST, host.id, vault.record.id)
    assert identity in (vault.denials.refusal(stranger) or "")
    found = await kinds(vault)
    assert "vault-reconciling" in found
    assert found.count("host-quarantined") == 1
    assert await refused(vault, stranger) == "host-quarantined"
    assert (await kinds(vault)).count("host-quarantined") == 1


async def test_a_host_that_obeyed_more_than_the_vault_knows_makes_it_reconcile(
    vault: Vault, caller: Caller
) -> None:
    await _protected_elsewhere(vault)
    number, _ = await head(vault)
    introduction = await introduce(vault, caller, replace(HELLO, anchor=(number + 7, b"d" * 32)))
    assert introduction.is_reconciling
    assert vault.reconciliation.is_reconciling


async def test_a_vault_that_has_heard_all_that_matters_serves_in_the_same_answer(
    vault: Vault, caller: Caller
) -> None:
    number, _ = await head(vault)
    waiting = vault.presence.begin(TARGET.id)
    introduction = await introduce(vault, caller, replace(HELLO, anchor=(number + 7, b"d" * 32)))
    assert not introduction.is_reconciling
    assert introduction.anchor.number > number + 7
    assert (introduction.anchor.number, introduction.anchor.digest) == await head(vault)
    assert waiting.end_reason == "recalled"


async def test_a_newer_deny_list_at_a_host_is_asked_for(vault: Vault, caller: Caller) -> None:
    introduction = await introduce(vault, caller, replace(HELLO, deny_list_version=3))
    assert introduction.wants_deny_list
    assert introduction.is_reconciling


@pytest.mark.parametrize(
    "wrong",
    [{"anchor": ((1 << 62), b"d" * 32)}, {"facts": replace(FACTS, cloud="a/b")}],
)
async def test_what_cannot_be_is_refused_and_nothing_of_it_is_kept(
    vault: Vault, caller: Caller, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidValueError):
        await introduce(vault, caller, replace(HELLO, **wrong))
    assert await the_host(vault, SOURCE.id) == SOURCE
    assert not vault.reconciliation.is_reconciling


async def _protected_elsewhere(vault: Vault) -> None:
    """Have one more host that matters, so that reconciling does not end with the first one."""
    await equip(vault)
    await save(vault, protection_in(ProtectionState.PROTECTED))
