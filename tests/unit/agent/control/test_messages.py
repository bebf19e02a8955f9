from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from agent.control.messages import host_facts, point_message, replication_message
from agent.source.status import Failure, ReplicationState, ReplicationStatus
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
    facts = host_facts(FakeHypervisor(tmp_path), "a-host", "gold", "10.0.0.5:7404")
    assert (facts.name, facts.cloud, facts.hypervisor) == ("a-host", "gold", "fake")
    assert facts.replication_address == "10.0.0.5:7404"
    assert facts.minimum_copy_interval_ms == 1000
    assert facts.agent_version
