from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from agent.control.messages import (
    digests_message,
    host_facts,
    point_message,
    replication_message,
)
from agent.replica.point_digests import DiskDigest
from agent.source.status import Failure, ReplicationState, ReplicationStatus, VerificationStatus
from replikera.blocks.segment import PointKind
from replikera.wire.v1 import session_pb2, types_pb2
from tests.unit.agent.fakes import START, FakeHypervisor, sealed_point

STATUS = ReplicationStatus("p", ReplicationState.REPLICATING, None, 4, 10, 2.5, START, 3)


def test_replication_is_told_in_full() -> None:
    message = replication_message(STATUS)
    assert message.protection_id == "p"
    assert message.state == session_pb2.REPLICATION_STATE_REPLICATING
    assert (message.done_bytes, message.total_bytes, message.rate) == (4, 10, 2.5)
    assert message.acknowledged_sequence == 3
    assert message.acknowledged_capture_started_at.ToDatetime(tzinfo=UTC) == START
    assert not message.HasField("failure")


def test_what_is_not_known_yet_is_left_out() -> None:
    message = replication_message(replace(STATUS, acknowledged_capture_started_at=None))
    assert not message.HasField("acknowledged_capture_started_at")


def test_failure_has_cause_and_remedy() -> None:
    message = replication_message(replace(STATUS, failure=Failure("c", "cause", "remedy")))
    assert message.failure == types_pb2.Failure(code="c", cause="cause", remedy="remedy")


@pytest.mark.parametrize("state", list(ReplicationState))
def test_every_state_has_its_own_value(state: ReplicationState) -> None:
    name = session_pb2.ReplicationState.Name(
        replication_message(replace(STATUS, state=state)).state
    )
    assert name == f"REPLICATION_STATE_{state.name}"


@pytest.mark.parametrize("kind", list(PointKind))
def test_every_kind_of_point_has_its_own_value(kind: PointKind) -> None:
    message = point_message(replace(sealed_point(5, "g"), kind=kind))
    assert types_pb2.PointKind.Name(message.kind) == f"POINT_KIND_{kind.name}"


def test_point_is_told_in_full() -> None:
    point = replace(
        sealed_point(5, "g", name="before patch"), sealed_at=START + timedelta(seconds=9)
    )
    message = point_message(point)
    assert (message.generation, message.sequence, message.name) == ("g", 5, "before patch")
    assert message.capture_started_at.ToDatetime(tzinfo=UTC) == point.capture_started_at
    assert message.sealed_at.ToDatetime(tzinfo=UTC) == point.sealed_at
    assert (message.payload_bytes, message.chain_digest) == (5 << 20, point.chain_digest)


def test_host_tells_the_shortest_interval_of_its_driver(tmp_path: Path) -> None:
    facts = host_facts(FakeHypervisor(tmp_path), "a-host", "gold", "10.0.0.5:7404", [tmp_path])
    assert (facts.name, facts.cloud, facts.hypervisor) == ("a-host", "gold", "fake")
    assert facts.replication_address == "10.0.0.5:7404"
    assert facts.minimum_copy_interval_ms == 1000
    assert facts.agent_version
    assert list(facts.replica_folders) == [str(tmp_path)]


def test_what_was_sent_compared_and_verified_is_told() -> None:
    verification = VerificationStatus("v", 3, 9, 1, START)
    status = replace(
        STATUS,
        sent_bytes=7,
        compared_at=START,
        verification=verification,
        warning=Failure("w", "cause", "remedy"),
    )
    message = replication_message(status)
    assert (message.sent_bytes, message.compared_at.ToDatetime(tzinfo=UTC)) == (7, START)
    assert message.warning == types_pb2.Failure(code="w", cause="cause", remedy="remedy")
    told = message.verification
    assert (told.verification_id, told.checked_bytes, told.total_bytes) == ("v", 3, 9)
    assert (told.differing_bytes, told.is_finished) == (1, True)
    assert told.finished_at.ToDatetime(tzinfo=UTC) == START


def test_verification_that_goes_on_has_no_end() -> None:
    told = replication_message(replace(STATUS, verification=VerificationStatus("v", 0, 9, 0, None)))
    assert not told.verification.is_finished
    assert not told.verification.HasField("finished_at")
    assert not told.HasField("compared_at")
    assert not told.HasField("warning")


def test_digests_name_their_disks() -> None:
    (disk,) = digests_message([DiskDigest("d", "system.vhdx", 512, b"x" * 32)]).disks
    assert (disk.disk_id, disk.name, disk.size) == ("d", "system.vhdx", 512)
    assert disk.sha256 == b"x" * 32
