from datetime import timedelta

import pytest

from coordinator.domain.errors import InvalidValueError, RefusedError
from coordinator.domain.hello import HostHello
from coordinator.domain.hosts import HostFacts
from coordinator.orchestration.introductions import introduce
from coordinator.orchestration.presence import HostSession
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.vault import Vault
from coordinator.rpc.reactions import react
from replikera.identity import Caller, Role, uri_name
from replikera.trust.deny_list import DeniedCertificate, DenyList, sign_deny_list
from replikera.wire.v1 import orders_pb2, session_pb2, trust_pb2
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import BY_ANN, equip, member, open_orders, protect, the_order

Request = session_pb2.SessionRequest


async def test_a_heartbeat_is_answered_with_its_number(vault: Vault) -> None:
    beat = Request(heartbeat=session_pb2.Heartbeat(number=9))
    answer = await react(vault, HostSession(SOURCE.id, vault.clock), beat)
    assert answer is not None
    assert answer.heartbeat.number == 9


async def test_an_outcome_is_accepted_only_after_it_was_stored(vault: Vault) -> None:
    await equip(vault)
    await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    order = await the_order(vault, TARGET.id)
    done = orders_pb2.OrderOutcome(order_id=order.id, done=orders_pb2.Done())
    for _ in range(2):
        answer = await react(vault, HostSession(TARGET.id, vault.clock), Request(outcome=done))
        assert answer is not None
        assert answer.outcome_accepted.order_id == order.id
        assert await open_orders(vault, TARGET.id) == ()


async def test_points_are_accepted_by_the_number_of_their_report(vault: Vault) -> None:
    protection = await protect(vault)
    report = session_pb2.RecoveryPointReport(
        protection_id=protection.id, generation=protection.generation, released=[1], number=12
    )
    answer = await react(vault, HostSession(TARGET.id, vault.clock), Request(points=report))
    assert answer is not None
    assert answer.points_accepted.number == 12
    async with vault.store.read() as records:
        assert (await records.points.page(protection)).items == ()


async def test_soft_state_is_taken_without_an_answer(vault: Vault) -> None:
    protection = await protect(vault)
    report = session_pb2.ReplicationReport(
        protection_id=protection.id, state=session_pb2.REPLICATION_STATE_WAITING
    )
    assert (
        await react(vault, HostSession(SOURCE.id, vault.clock), Request(replication=report)) is None
    )
    kept = vault.reports.get(protection.id)
    assert kept is not None
    assert kept.state == "waiting"
    assert (
        await react(
            vault, HostSession(SOURCE.id, vault.clock), Request(inventory=session_pb2.Inventory())
        )
        is None
    )
    async with vault.store.read() as records:
        assert (await records.inventories.machines_page()).items == ()


async def test_a_stored_deny_list_is_noted_for_the_next_time_contacts_are_kept(
    vault: Vault,
) -> None:
    session = vault.presence.begin(SOURCE.id)
    stored = session_pb2.DenyListStored(version=4)
    assert await react(vault, session, Request(deny_list_stored=stored)) is None
    assert session.contact.deny_list_version == 4


async def asked(vault: Vault) -> HostSession:
    """Return a session of a host that is asked for its deny-list."""
    await equip(vault)
    facts = HostFacts("", "hyperv", "1.0", "a1:9", timedelta(0))
    hello = HostHello(facts, "a1", start_count=1, run_id="run-1", deny_list_version=9)
    introduction = await introduce(vault, await member(vault, SOURCE.id), hello)
    assert introduction.wants_deny_list
    return vault.presence.begin(SOURCE.id)


async def test_a_list_that_the_vault_did_not_sign_is_refused(vault: Vault) -> None:
    session = await asked(vault)
    forged = trust_pb2.Signed(content=b"x", signature=b"y", certificate_chain=b"z")
    with pytest.raises(RefusedError) as caught:
        await react(vault, session, Request(deny_list=forged))
    assert caught.value.code == "deny-list-not-believed"


async def test_a_list_that_a_host_was_asked_for_is_obeyed(vault: Vault) -> None:
    session = await asked(vault)
    denied = DeniedCertificate(
        7, uri_name(Role.HOST, "b", vault.record.id), vault.clock.now() + timedelta(days=1)
    )
    listed = DenyList(vault.record.id, 9, vault.clock.now(), (denied,), frozenset())
    signed = trust_pb2.Signed.FromString(sign_deny_list(vault.authority.signer, listed))
    assert await react(vault, session, Request(deny_list=signed)) is None
    assert vault.denials.version > 9
    caller = Caller(Role.HOST, "b", vault.record.id, 7, denied.not_after)
    assert vault.denials.refusal(caller) is not None


@pytest.mark.parametrize("message", [Request(), Request(hello=session_pb2.Hello())])
async def test_a_message_out_of_place_is_refused(
    vault: Vault, message: session_pb2.SessionRequest
) -> None:
    with pytest.raises(InvalidValueError):
        await react(vault, HostSession(SOURCE.id, vault.clock), message)
