import asyncio
from pathlib import Path

import pytest

from agent.control.anchor import ControlAnchor
from agent.control.conversation import ANSWER_SECONDS, HEARTBEAT_SECONDS
from agent.control.orders import Progress
from agent.control.session import MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS
from replikera.wire.v1 import orders_pb2, session_pb2, trust_pb2, types_pb2
from tests.unit.agent.control.sessions import FACTS, A, Host, Response, digest
from tests.unit.agent.fakes import FusedFiles, InlineWorker, sealed_point, settle


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


async def test_session_begins_with_hello_and_waits_for_the_welcome(host: Host) -> None:
    async with host.running() as vault:
        await host.clock.advance(1)
        assert vault.stream.kinds() == ["hello"]
        assert vault.stream.sent[0].hello.facts == FACTS
        await vault.stream.welcome()
        assert vault.stream.kinds() == ["hello", "heartbeat"]


async def test_order_comes_down_and_its_outcome_goes_up_until_accepted(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        await vault.stream.order()
        assert vault.stream.kinds()[2:] in (["outcome"], ["progress", "outcome"])
        await vault.stream.accept(A)
        assert host.ledger.unaccepted() == ()
    assert host.handled == 1


async def test_outcome_is_sent_again_in_the_next_session_until_accepted(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        await vault.stream.order()
        await vault.stream.say(None)
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        assert len(vault.streams) == 2
        await vault.stream.welcome()
        assert vault.stream.kinds() == ["hello", "outcome", "heartbeat"]
        await vault.stream.accept(A)
        await vault.stream.say(None)
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        await vault.stream.welcome()
        assert "outcome" not in vault.stream.kinds()
    assert host.handled == 1


async def test_order_finished_between_sessions_is_answered_in_the_next(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        vault.stream.is_broken = True
        await vault.stream.order()
        assert vault.streams[0].is_closed
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        await vault.stream.welcome()
        assert vault.stream.kinds()[1] == "outcome"
    assert host.handled == 1


async def test_heartbeats_keep_coming_while_the_vault_answers(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        for number in range(1, 5):
            answer = session_pb2.HeartbeatAnswer(number=number)
            await vault.stream.say(Response(heartbeat=answer))
            await host.clock.advance(HEARTBEAT_SECONDS)
        numbers = [m.heartbeat.number for m in vault.stream.sent if m.HasField("heartbeat")]
        assert numbers == [1, 2, 3, 4, 5]
        assert len(vault.streams) == 1


async def test_hung_vault_is_left_and_dialled_again(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        await host.clock.advance(ANSWER_SECONDS + MAX_BACKOFF_SECONDS)
        assert vault.streams[0].is_closed
        assert len(vault.streams) == 2


async def test_draining_vault_is_left_and_dialled_again(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        await vault.stream.say(Response(drain=session_pb2.Drain()))
        assert vault.streams[0].is_closed
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        assert len(vault.streams) == 2


async def test_waiting_grows_up_to_its_bound_and_is_drawn_at_random(host: Host) -> None:
    host.vault.is_reachable = False
    async with host.running() as vault:
        await host.clock.advance(60)
        assert len(vault.streams) > 8
    lows = {low for low, _ in host.randomness.drawn}
    highs = [high for _, high in host.randomness.drawn]
    assert lows == {MIN_BACKOFF_SECONDS}
    assert highs[:3] == [0.4, 0.8, 1.6]
    assert highs[-1] == MAX_BACKOFF_SECONDS


async def test_session_that_lasted_is_followed_by_a_short_wait(host: Host) -> None:
    host.vault.is_reachable = False
    async with host.running() as vault:
        await host.clock.advance(30)
        host.vault.is_reachable = True
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        await vault.stream.welcome()
        await host.clock.advance(12)
        await vault.stream.say(None)
    assert host.randomness.drawn[-1] == (MIN_BACKOFF_SECONDS, 0.4)


async def test_session_that_ended_at_once_is_followed_by_a_longer_wait(host: Host) -> None:
    async with host.running() as vault:
        for _ in range(4):
            await vault.stream.welcome()
            await vault.stream.say(None)
            await host.clock.advance(MAX_BACKOFF_SECONDS)
    assert [high for _, high in host.randomness.drawn] == [0.4, 0.8, 1.6, 3.2]


async def test_vault_behind_the_version_obeyed_is_not_obeyed(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome(version=5)
        await vault.stream.say(None)
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        assert vault.stream.sent[0].hello.control_version == 5
        stale = vault.stream
        await stale.welcome(version=4)
        assert stale.is_closed
        assert stale.kinds() == ["hello"]


async def test_control_state_obeyed_is_durable(host: Host, tmp_path: Path) -> None:
    async with host.running() as vault:
        await vault.stream.welcome(version=5)
    again = ControlAnchor(FusedFiles(), InlineWorker(), tmp_path / "control.json")
    await again.open()
    assert (again.number, again.digest) == (5, digest(5))


async def test_control_state_of_an_order_is_durable_before_the_order_begins(
    host: Host, tmp_path: Path
) -> None:
    seen: list[bytes] = []

    async def look(order: orders_pb2.Order, _progress: Progress) -> orders_pb2.OrderOutcome:
        seen.append((tmp_path / "control.json").read_bytes())
        return orders_pb2.OrderOutcome(order_id=order.order_id, done=orders_pb2.Done())

    host.orders._handle = look
    async with host.running() as vault:
        await vault.stream.welcome(version=5)
        await vault.stream.order(version=6)
    assert b'"control_version": 6' in seen[0]


async def test_order_of_an_older_vault_ends_the_session_unheard(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome(version=5)
        await vault.stream.order(version=4)
        assert vault.streams[0].is_closed
    assert host.handled == 0


async def test_reconciling_vault_is_told_everything_and_not_obeyed(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome(version=5)
        await vault.stream.say(None)
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        host.backlog.report_inventory(session_pb2.Inventory(networks=[types_pb2.Network()]))
        await vault.stream.welcome(version=2, is_reconciling=True)
        await vault.stream.order(version=2)
        withdrawal = session_pb2.WithdrawOrder(order_id=A)
        await vault.stream.say(Response(withdraw=withdrawal))
        await host.clock.advance(HEARTBEAT_SECONDS)
        assert vault.stream.kinds() == ["hello", "inventory", "heartbeat", "heartbeat"]
        assert not vault.stream.is_closed
        assert host.anchor.number == 5
        await vault.stream.say(Response(drain=session_pb2.Drain()))
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        await vault.stream.welcome(version=9)
        await vault.stream.order(version=9)
    assert host.handled == 1
    assert host.anchor.number == 9


async def test_deny_list_is_obeyed_and_told(host: Host) -> None:
    signed = trust_pb2.Signed.FromString(host.office.deny_list(3, "x"))
    async with host.running() as vault:
        await vault.stream.welcome()
        await vault.stream.say(Response(deny_list=signed))
        (stored,) = [m for m in vault.stream.sent if m.HasField("deny_list_stored")]
        assert stored.deny_list_stored.version == 3
        await vault.stream.say(Response(send_deny_list=session_pb2.SendDenyList()))
        assert vault.stream.sent[-1].deny_list == signed
    assert host.denials.version == 3


async def test_renewed_certificate_opens_the_next_session_before_the_present_one_is_left(
    host: Host,
) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        old = vault.stream
        host.session.renewed()
        await settle()
        assert len(vault.streams) == 2
        assert vault.stream.kinds() == ["hello"]
        assert [stream.is_closed for stream in vault.streams] == [False, False]
        # Until the vault knows the new one the present one is as good as ever.
        await old.order()
        assert "outcome" in old.kinds()
        await vault.stream.welcome()
        assert [stream.is_closed for stream in vault.streams] == [True, False]
        assert vault.stream.kinds() == ["hello", "outcome", "heartbeat"]
        await host.clock.advance(1)
        assert len(vault.streams) == 2
    assert host.randomness.drawn == []


async def test_vault_that_ends_the_old_session_first_is_waited_for(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        old = vault.stream
        host.session.renewed()
        await settle()
        await old.say(None)
        assert not vault.stream.is_closed
        await vault.stream.welcome()
        assert vault.stream.kinds() == ["hello", "heartbeat"]
        assert len(vault.streams) == 2
    assert host.randomness.drawn == []


async def test_session_holds_while_no_other_can_be_opened(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        old = vault.stream
        vault.is_reachable = False
        host.session.renewed()
        await settle()
        assert vault.stream.is_closed
        await old.order()
        assert "outcome" in old.kinds()
        vault.is_reachable = True
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        assert len(vault.streams) == 3
        assert not old.is_closed
        await vault.stream.welcome()
        assert old.is_closed


async def test_session_that_ends_while_the_next_cannot_be_opened_is_dialled_again(
    host: Host,
) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        old = vault.stream
        host.session.renewed()
        await settle()
        await old.say(None)
        await vault.stream.say(None)
        assert all(stream.is_closed for stream in vault.streams)
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        await vault.stream.welcome()
        assert vault.stream.kinds() == ["hello", "heartbeat"]
        assert len(vault.streams) == 3


async def test_agent_that_stops_while_it_changes_sessions_leaves_none_open(host: Host) -> None:
    async with asyncio.timeout(5), host.running() as vault:
        await vault.stream.welcome()
        host.session.renewed()
        await settle()
    assert [stream.is_closed for stream in vault.streams] == [True, True]


async def test_certificate_renewed_between_sessions_needs_no_second_dial(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        await vault.stream.say(None)
        host.session.renewed()
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        await vault.stream.welcome()
        await settle()
        assert len(vault.streams) == 2


async def test_report_is_sent_at_once_when_it_is_urgent(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        host.backlog.report_inventory(session_pb2.Inventory(networks=[types_pb2.Network()]))
        await settle()
        assert vault.stream.kinds()[-1] == "inventory"


async def test_answered_page_of_points_is_followed_by_the_next_at_once(host: Host) -> None:
    for name in "pq":
        host.backlog.points.watch(name, "g", lambda: [sealed_point(1, "g")], lambda: 0)
    async with host.running() as vault:
        await vault.stream.welcome()
        assert vault.stream.kinds().count("points") == 1
        number = next(m.points.number for m in vault.stream.sent if m.HasField("points"))
        answer = session_pb2.RecoveryPointsAccepted(number=number)
        await vault.stream.say(Response(points_accepted=answer))
        assert vault.stream.kinds().count("points") == 2


async def test_error_that_is_no_end_of_a_session_is_not_hidden(host: Host) -> None:
    def fail(number: int) -> None:
        raise ZeroDivisionError(number)

    host.backlog.points.accepted = fail  # type: ignore[method-assign]  # a bug of ours
    with pytest.raises(ExceptionGroup) as caught:
        async with host.running() as vault:
            await vault.stream.welcome()
            await vault.stream.say(Response(points_accepted=session_pb2.RecoveryPointsAccepted()))
    assert caught.value.subgroup(ZeroDivisionError) is not None


async def test_session_that_breaks_while_it_is_told_to_end_ends(host: Host) -> None:
    # Leaving `running` waits for the session: it would hang if the broken stream were all that it saw.
    async with asyncio.timeout(5), host.running() as vault:
        await vault.stream.welcome()
        vault.stream.breaks_at_cancellation = True
    assert len(vault.streams) == 1
