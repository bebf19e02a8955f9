"""The real source and the real receiver over the simulated hypervisor and the real replica store."""

from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError

from agent.source.status import ReplicationState
from replikera.wire.v1 import replication_pb2 as wire
from tests.integration.replication.sites import GENERATION, PROTECTION, SecondarySite, Sites
from tests.support.memory_stream import Direction, Faults
from tests.support.virtual_clock import InlineWorker

POINTS = 3


@pytest.fixture
async def sites(tmp_path: Path) -> Sites:
    return await sites_in(tmp_path)


async def test_every_point_is_the_view_it_was_made_of(sites: Sites) -> None:
    await sites.run_until_sequence(5)
    assert await sites.assert_all_points_equal_their_views() >= 5


async def test_points_stay_what_they_were_when_they_are_applied(sites: Sites) -> None:
    await sites.run_until_sequence(4)
    await sites.secondary.store.get(PROTECTION).settle()
    await sites.run_until_sequence(6)
    assert await sites.assert_all_points_equal_their_views() >= 6


async def test_points_stay_what_they_were_over_restarts_of_both_sides(sites: Sites) -> None:
    for sequence in (1, 2, 4):
        await sites.run_until_sequence(sequence)
        sites.secondary.restart()
        await sites.secondary.store.open()
    assert await sites.assert_all_points_equal_their_views() >= 4


async def sites_in(folder: Path) -> Sites:
    sites = Sites(folder)
    await sites.secondary.accept()
    return sites


async def clean_transcript(folder: Path) -> int:
    """Return how many messages a conversation up to the last point of interest has."""
    sites = await sites_in(folder)
    await sites.run_until_sequence(POINTS)
    return len(sites.links[0].transcript)


@pytest.mark.parametrize("is_restart", [False, True], ids=["reconnect", "restart"])
async def test_a_conversation_may_break_after_any_message(
    tmp_path: Path, *, is_restart: bool
) -> None:
    messages = await clean_transcript(tmp_path / "clean")
    assert messages > 15
    for cut_after in range(messages + 1):
        sites = await sites_in(tmp_path / str(cut_after))
        faults = [Faults(cut_after=cut_after)]
        if is_restart:
            await sites.run_until(sites.primary.has_failed, faults)
            sites.secondary.restart()
            await sites.secondary.store.open()
            await sites.run_until_sequence(POINTS)
        else:
            await sites.run_until_sequence(POINTS, faults)
        compared = await sites.assert_all_points_equal_their_views()
        assert compared >= POINTS, f"cut after {cut_after}"
        assert sites.primary.state.resync is None, f"cut after {cut_after}"
        views = await sites.primary.hypervisor().views(PROTECTION)
        assert len(views) <= 1, f"cut after {cut_after}"


def tampering(
    kind: str, deliver: Callable[[bytes], list[bytes]], direction: Direction
) -> tuple[Faults, list[bytes]]:
    """Return faults that change the delivery of the first message of a kind, and what was changed."""
    changed: list[bytes] = []

    def tamper(towards: Direction, message: bytes) -> list[bytes]:
        if towards is not direction or changed:
            return [message]
        parse = (
            wire.ReplicateRequest.FromString
            if direction is Direction.TO_TARGET
            else wire.ReplicateResponse.FromString
        )
        try:
            is_meant = parse(message).WhichOneof("message") == kind
        except DecodeError:
            return [message]
        if not is_meant:
            return [message]
        changed.append(message)
        return deliver(message)

    return Faults(tamper=tamper), changed


def twice(message: bytes) -> list[bytes]:
    return [message, message]


@pytest.mark.parametrize("kind", ["open", "begin", "batch", "end"])
async def test_a_duplicated_message_is_refused_and_replication_goes_on(
    sites: Sites, kind: str
) -> None:
    faults, changed = tampering(kind, twice, Direction.TO_TARGET)
    await sites.run_until_sequence(2, [faults])

    assert changed
    codes = {status.failure.code for status in sites.primary.statuses if status.failure}
    assert "protocol-violation" in codes
    assert await sites.assert_all_points_equal_their_views() >= 2


async def test_a_swallowed_acknowledgement_is_recognised_after_the_restart(sites: Sites) -> None:
    faults, _ = tampering("sealed", lambda _message: [], Direction.TO_SOURCE)
    store = sites.secondary.store
    store.get(PROTECTION).subscribe(lambda _change: sites.primary.changed.set())
    await sites.run_until(lambda: store.get(PROTECTION).head.sequence == 1, [faults])
    first = store.get(PROTECTION).head.chain_digest
    assert sites.primary.state.head.sequence == 0

    await sites.run_until_sequence(3)
    assert store.get(PROTECTION).points()[0].chain_digest == first
    assert await sites.assert_all_points_equal_their_views() >= 3


async def test_a_segment_replayed_in_a_new_conversation_is_refused(sites: Sites) -> None:
    await sites.run_until_sequence(2)
    recorded = [
        message
        for direction, message in sites.links[0].transcript
        if direction is Direction.TO_TARGET
    ]
    before = sites.secondary.store.get(PROTECTION).head

    replayed = iter(recorded[1:])

    def tamper(direction: Direction, message: bytes) -> list[bytes]:
        if direction is Direction.TO_TARGET and message != recorded[0]:
            return [next(replayed, message)]
        return [message]

    def is_refused() -> bool:
        failure = sites.primary.statuses[-1].failure
        return failure is not None and failure.code == "wrong-sequence"

    await sites.run_until(is_refused, [Faults(tamper=tamper)])
    assert sites.secondary.store.get(PROTECTION).head.chain_digest == before.chain_digest
    await sites.run_until_sequence(before.sequence + 1)
    await sites.assert_all_points_equal_their_views()


async def test_a_payload_that_changed_on_its_way_is_refused_and_sent_again(sites: Sites) -> None:
    changed: list[int] = []

    def tamper(direction: Direction, message: bytes) -> list[bytes]:
        if direction is Direction.TO_TARGET and len(message) > 60_000 and not changed:
            changed.append(len(message))
            return [message[:-1] + bytes([message[-1] ^ 1])]
        return [message]

    await sites.run_until_sequence(2, [Faults(tamper=tamper)])
    codes = {status.failure.code for status in sites.primary.statuses if status.failure}
    assert changed
    assert codes == {"wrong-checksum"}
    assert await sites.assert_all_points_equal_their_views() >= 2


async def test_a_foreign_host_cannot_write_the_replica(sites: Sites) -> None:
    stranger = "aaaaaaaa-0000-4000-8000-00000000000f"
    await sites.run_until(sites.primary.has_failed, source_host_id=stranger)
    failure = sites.primary.statuses[-1].failure
    assert failure is not None
    assert failure.code == "foreign-source"
    assert sites.secondary.store.get(PROTECTION).head.sequence == 0


async def test_a_replica_that_started_anew_is_not_continued(sites: Sites, tmp_path: Path) -> None:
    await sites.run_until_sequence(2)
    sites.secondary = SecondarySite(tmp_path / "c", sites.clock, InlineWorker(), sites.office)
    await sites.secondary.accept()
    await sites.run_until(lambda: sites.primary.state.resync is not None)

    assert sites.primary.statuses[-1].state is ReplicationState.RESYNC_REQUIRED
    assert sites.secondary.store.get(PROTECTION).head.sequence == 0
    assert sites.primary.state.assignment.generation == GENERATION
