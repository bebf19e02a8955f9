from dataclasses import replace

from coordinator.domain.identifiers import HostId, JobId, OrderId, ProtectionId, RehearsalId
from coordinator.domain.orders import CleanUpRehearsal, Done, Order
from coordinator.orchestration.presence import SILENCE_SECONDS, EndReason, Presence
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import NOW

A, B = HostId("a"), HostId("b")
ORDER = Order(
    OrderId("o"), JobId("j"), A, NOW, CleanUpRehearsal(RehearsalId("r"), ProtectionId("p"))
)


def test_a_host_is_connected_while_it_is_heard(clock: VirtualClock) -> None:
    presence = Presence(clock)
    assert not presence.is_connected(A)
    session = presence.begin(A)
    clock.advance(SILENCE_SECONDS - 0.1)
    assert presence.is_connected(A)
    session.heard()
    clock.advance(SILENCE_SECONDS - 0.1)
    assert presence.is_connected(A)
    seen = presence.last_seen_at(A)
    clock.advance(0.1)
    assert not presence.is_connected(A)
    assert presence.last_seen_at(A) == seen
    presence.end(session)
    assert presence.last_seen_at(A) is None


def test_the_newest_session_of_a_host_counts(clock: VirtualClock) -> None:
    presence = Presence(clock)
    first, second = presence.begin(A), presence.begin(A)
    assert first.end_reason is EndReason.REPLACED
    assert first.ended.is_set()
    assert not second.ended.is_set()
    presence.end(first)
    assert presence.is_connected(A)
    presence.end(second)
    assert not presence.is_connected(A)


def test_only_hosts_with_an_open_order_are_woken(clock: VirtualClock) -> None:
    presence = Presence(clock)
    first, second = presence.begin(A), presence.begin(B)
    for session in (first, second):
        assert session.orders_waiting.is_set()
        session.orders_waiting.clear()
    presence.announce([ORDER.finished(Done(), NOW), replace(ORDER, host_id=HostId("away"))])
    assert not first.orders_waiting.is_set()
    presence.announce([ORDER])
    assert first.orders_waiting.is_set()
    assert not second.orders_waiting.is_set()


def test_stopping_reaches_every_session_and_the_first_reason_stays(clock: VirtualClock) -> None:
    presence = Presence(clock)
    replaced, live = presence.begin(A), presence.begin(A)
    presence.stop()
    assert live.end_reason is EndReason.STOPPING
    replaced.end(EndReason.STOPPING)
    assert replaced.end_reason is EndReason.REPLACED
