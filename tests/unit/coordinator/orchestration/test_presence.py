from dataclasses import replace

from coordinator.domain.hosts import Contact
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
    assert not presence.is_connected(A)
    assert presence.last_seen_at(A) == seen


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
        assert session.work_waiting.is_set()
        session.work_waiting.clear()
    presence.announce([ORDER.finished(Done(), NOW), replace(ORDER, host_id=HostId("away"))])
    assert not first.work_waiting.is_set()
    presence.announce([ORDER])
    assert first.work_waiting.is_set()
    assert not second.work_waiting.is_set()


def test_stopping_reaches_every_session_and_the_first_reason_stays(clock: VirtualClock) -> None:
    presence = Presence(clock)
    replaced, live = presence.begin(A), presence.begin(A)
    presence.stop()
    assert live.end_reason is EndReason.STOPPING
    replaced.end(EndReason.STOPPING)
    assert replaced.end_reason is EndReason.REPLACED


def test_a_recall_reaches_every_session(clock: VirtualClock) -> None:
    presence = Presence(clock)
    sessions = [presence.begin(A), presence.begin(B)]
    presence.drain()
    assert [session.end_reason for session in sessions] == [EndReason.RECALLED] * 2
    assert all(session.ended.is_set() for session in sessions)


def test_a_session_that_is_ended_by_its_server_is_not_told_to_end(clock: VirtualClock) -> None:
    session = Presence(clock).begin(A)
    session.note_end(EndReason.DENIED)
    session.note_end(EndReason.EXPIRED)
    assert session.end_reason is EndReason.DENIED
    assert not session.ended.is_set()


def test_all_sessions_are_woken_at_once(clock: VirtualClock) -> None:
    presence = Presence(clock)
    sessions = [presence.begin(A), presence.begin(B)]
    for session in sessions:
        session.work_waiting.clear()
    presence.wake([A, HostId("away")])
    assert [session.work_waiting.is_set() for session in sessions] == [True, False]
    presence.wake_all()
    assert sessions[1].work_waiting.is_set()


def test_a_contact_is_kept_once_and_again_when_it_has_changed(clock: VirtualClock) -> None:
    presence = Presence(clock)
    session = presence.begin(A, 3)
    first = Contact(A, clock.now(), 3)
    assert presence.contacts() == (first,)
    presence.kept((first,))
    assert presence.contacts() == ()
    session.deny_list_version = 4
    clock.advance(1)
    session.heard()
    newer = Contact(A, clock.now(), 4)
    assert presence.contacts() == (newer,)
    assert presence.contact(A) == newer


def test_the_last_contact_of_a_host_that_left_is_known_until_it_is_kept(
    clock: VirtualClock,
) -> None:
    presence = Presence(clock)
    session = presence.begin(A)
    presence.kept(presence.contacts())
    clock.advance(1)
    session.heard()
    presence.end(session)
    left = presence.contacts()
    assert left == (Contact(A, clock.now(), 0),)
    assert presence.last_seen_at(A) == clock.now()
    presence.kept(left)
    assert presence.contacts() == ()
    assert presence.contact(A) is None


def test_a_contact_that_came_while_another_was_kept_is_kept_next(clock: VirtualClock) -> None:
    presence = Presence(clock)
    session = presence.begin(A)
    before = presence.contacts()
    clock.advance(1)
    session.heard()
    presence.end(session)
    presence.kept(before)
    assert presence.contacts() == (Contact(A, clock.now(), 0),)


def test_what_a_target_told_counts_for_its_session_alone(clock: VirtualClock) -> None:
    presence, protection = Presence(clock), ProtectionId("p")
    presence.note_told(A, protection)
    assert not presence.has_told(A, protection)
    presence.begin(A)
    presence.note_told(A, protection)
    assert presence.has_told(A, protection)
    assert not presence.has_told(A, ProtectionId("q"))
    assert not presence.has_told(B, protection)
    presence.begin(A)
    assert not presence.has_told(A, protection)
