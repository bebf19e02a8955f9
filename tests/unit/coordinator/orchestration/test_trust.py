import asyncio
from datetime import timedelta

import pytest

from coordinator.domain.commands import by_operator
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import ForbiddenError, IllegalTransitionError, RefusedError
from coordinator.domain.hosts import HostState
from coordinator.domain.identifiers import HostId
from coordinator.domain.orders import Done
from coordinator.orchestration import trust
from coordinator.orchestration.invitations import invite_host, readmit_host
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.protection_changes import change_policy, pause_protection
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.sites import create_site
from coordinator.orchestration.vault import Vault
from replikera.identity import Role, uri_name
from replikera.trust.deny_list import DenyList, open_deny_list
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import (
    BY_ANN,
    equip,
    kinds,
    member,
    open_orders,
    protect,
    report,
    save,
    states,
    the_host,
    the_job,
    the_order,
    the_protection,
)

HOUR = timedelta(hours=1)


def listed(vault: Vault) -> DenyList:
    return open_deny_list(
        trust.current_deny_list(vault),
        vault_id=vault.record.id,
        root_certificate=vault.authority.root_certificate,
        now=vault.clock.now(),
    )


async def test_a_revoked_host_is_denied_in_the_same_moment(vault: Vault) -> None:
    await save(vault, SOURCE)
    caller = await member(vault, SOURCE.id)
    told = asyncio.ensure_future(vault.denials.denied(caller))
    session = vault.presence.begin(TARGET.id)
    session.work_waiting.clear()
    host = await trust.revoke_host(vault, BY_ANN, "a1", "stolen")
    assert host.state is HostState.REVOKED
    assert await the_host(vault, SOURCE.id) == host
    assert caller.uri in await asyncio.wait_for(told, 5)
    assert session.work_waiting.is_set()
    assert await states(vault, SOURCE.id) == {caller.certificate_id: "denied"}
    assert await kinds(vault) == ["host-revoked", "deny-list-changed"]
    content = listed(vault)
    assert content.version == vault.deny_lists.version == 1
    assert [denied.serial for denied in content.certificates] == [caller.serial]
    assert content.identities == {uri_name(Role.HOST, SOURCE.id, vault.record.id)}


async def test_a_repeated_command_answers_the_same_and_changes_nothing(vault: Vault) -> None:
    await save(vault, SOURCE)
    command = by_operator("ann", "key", b"digest")
    first = await trust.revoke_host(vault, command, "a1", "stolen")
    assert await trust.revoke_host(vault, command, "a1", "stolen") == first
    assert listed(vault).version == 1
    with pytest.raises(IllegalTransitionError):
        await trust.revoke_host(vault, BY_ANN, "a1", "again")


async def test_a_revoked_host_is_not_brought_back_by_a_key_from_before(vault: Vault) -> None:
    await save(vault, SOURCE, TARGET)
    await create_site(vault, BY_ANN, "a")
    back = await readmit_host(vault, BY_ANN, "a1", "", HOUR)
    others = [
        await readmit_host(vault, BY_ANN, "b1", "", HOUR),
        await invite_host(vault, BY_ANN, "a", HOUR),
    ]
    await trust.revoke_host(vault, BY_ANN, "a1", "")
    async with vault.store.read() as records:
        assert (await records.keys.get(back.key.id)).revoked_at == vault.clock.now()
        for other in others:
            assert await records.keys.get(other.key.id) == other.key


async def test_what_a_revoked_host_was_told_to_do_has_failed(vault: Vault) -> None:
    await equip(vault)
    enabling = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    order = await the_order(vault, TARGET.id)
    await trust.revoke_host(vault, BY_ANN, "b1", "stolen")
    job = await the_job(vault, enabling.id)
    assert (job.state, "revoked" in (job.cause or "")) == ("failed", True)
    assert "replikera host readmit b1" in (job.remedy or "")
    assert (await the_protection(vault)).state == "failed"
    assert await open_orders(vault, TARGET.id) == ()
    await receive_outcome(vault, TARGET.id, order.id, Done())
    assert await the_job(vault, enabling.id) == job


@pytest.mark.parametrize("name", ["a1", "b1"])
async def test_a_job_that_waits_for_the_first_point_ends_with_its_host(
    vault: Vault, name: str
) -> None:
    await equip(vault)
    enabling = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    for host_id in (TARGET.id, SOURCE.id):
        await receive_outcome(vault, host_id, (await the_order(vault, host_id)).id, Done())
    await trust.revoke_host(vault, BY_ANN, name, "stolen")
    job = await the_job(vault, enabling.id)
    assert (job.state, "revoked" in (job.cause or "")) == ("failed", True)
    # Readmitted it goes on: the first point is as good as ever, and the job stays as it ended.
    await report(vault, 1, complete=True)
    assert (await the_protection(vault)).state == "protected"
    assert await the_job(vault, enabling.id) == job


async def test_what_others_were_told_to_do_goes_on_when_a_host_is_revoked(vault: Vault) -> None:
    await equip(vault)
    enabling = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    await trust.revoke_host(vault, BY_ANN, "a1", "")
    assert (await the_job(vault, enabling.id)).state == "running"
    assert len(await open_orders(vault, TARGET.id)) == 1


async def test_a_retired_host_frees_its_name_and_is_denied(vault: Vault) -> None:
    await save(vault, SOURCE)
    caller = await member(vault, SOURCE.id)
    command = by_operator("ann", "key", b"digest")
    host = await trust.retire_host(vault, command, "a1", "sold")
    assert host.name == f"a1~{SOURCE.id[:8]}"
    assert vault.denials.refusal(caller) is not None
    assert await trust.retire_host(vault, command, "a1", "sold") == host
    async with vault.store.read() as records:
        assert not await records.hosts.is_taken("a1")


async def test_what_a_retired_host_had_is_listed_no_more(vault: Vault) -> None:
    await equip(vault)
    await trust.retire_host(vault, BY_ANN, "a1", "sold")
    async with vault.store.read() as records:
        assert (await records.inventories.machines_page()).items == ()
        networks = (await records.inventories.networks_page()).items
    assert {network.host_id for network in networks} == {TARGET.id}


async def test_a_host_in_a_protection_is_not_retired(vault: Vault) -> None:
    await protect(vault)
    for name in ("a1", "b1"):
        with pytest.raises(RefusedError) as caught:
            await trust.retire_host(vault, BY_ANN, name, "")
        assert "web" in caught.value.cause
    assert vault.denials.version == 0


async def test_a_key_is_revoked_once(vault: Vault) -> None:
    await create_site(vault, BY_ANN, "a")
    made = await invite_host(vault, BY_ANN, "a", HOUR)
    command = by_operator("ann", "key", b"digest")
    key = await trust.revoke_key(vault, command, made.key.id)
    assert key.revoked_at == vault.clock.now()
    assert await trust.revoke_key(vault, command, made.key.id) == key
    with pytest.raises(IllegalTransitionError):
        await trust.revoke_key(vault, BY_ANN, made.key.id)


async def test_a_quarantined_host_is_denied_with_whatever_it_showed(vault: Vault) -> None:
    await save(vault, SOURCE)
    known = await member(vault, SOURCE.id)
    stranger = await member(vault, SOURCE.id, is_kept=False)
    await trust.quarantine_host(vault, stranger, "There are two.")
    assert (await the_host(vault, SOURCE.id)).cause == "There are two."
    assert set((await states(vault, SOURCE.id)).values()) == {"denied"}
    assert {item.serial for item in listed(vault).certificates} == {known.serial, stranger.serial}
    await trust.quarantine_host(vault, known, "Again.")
    assert (await the_host(vault, SOURCE.id)).cause == "There are two."
    assert listed(vault).version == 1


async def test_a_denied_host_is_told_why(vault: Vault) -> None:
    await save(vault, SOURCE)
    caller = await member(vault, SOURCE.id)
    error = await trust.denial(vault, caller)
    assert isinstance(error, ForbiddenError)
    assert error.code == "certificate-denied"
    await trust.revoke_host(vault, BY_ANN, "a1", "stolen")
    told = await trust.denial(vault, caller)
    assert (told.code, "stolen" in told.cause) == ("host-revoked", True)


async def test_a_vault_that_starts_obeys_what_it_denied_before(vault: Vault) -> None:
    await save(vault, SOURCE)
    caller = await member(vault, SOURCE.id)
    await trust.revoke_host(vault, BY_ANN, "a1", "")
    vault.deny_lists.outdated()
    assert trust.current_deny_list(vault) == b""
    await trust.publish_deny_list(vault)
    assert listed(vault).version == 1
    assert vault.denials.refusal(caller) is not None


async def test_before_anybody_was_denied_there_is_no_list(vault: Vault) -> None:
    await trust.publish_deny_list(vault)
    assert trust.current_deny_list(vault) == b""


async def test_the_certificates_of_an_operator_are_denied_by_its_name(vault: Vault) -> None:
    async with vault.store.write() as records:
        decision = await trust.deny_member(records, Role.OPERATOR, "ann", vault.clock.now())
        await records.save(decision, BY_ANN)
    await trust.publish_deny_list(vault)
    (denied,) = listed(vault).certificates
    assert denied.identity == uri_name(Role.OPERATOR, "ann", vault.record.id)
    assert vault.denials.identity_refusal(Role.HOST, HostId("ann"), vault.record.id) is None


async def test_two_orders_about_one_protection_both_fail_with_their_host(vault: Vault) -> None:
    await protect(vault)
    await pause_protection(vault, BY_ANN, "web")
    await change_policy(vault, BY_ANN, "web", "quick")
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, Done())
    assert len(await open_orders(vault, SOURCE.id)) == 2
    await trust.revoke_host(vault, BY_ANN, "a1", "stolen")
    assert await open_orders(vault, SOURCE.id) == ()
    protection = await the_protection(vault)
    assert (protection.state, protection.is_paused) == ("protected", False)


async def test_a_host_with_an_order_of_a_protection_that_is_gone_can_be_revoked(
    vault: Vault,
) -> None:
    protection = await protect(vault)
    job = await change_policy(vault, BY_ANN, "web", "quick")
    async with vault.store.write() as records:
        await records.save(Decision(removed=(protection,)), BY_ANN)
    host = await trust.revoke_host(vault, BY_ANN, "b1", "stolen")
    assert host.state is HostState.REVOKED
    assert (await the_job(vault, job.id)).state == "failed"
