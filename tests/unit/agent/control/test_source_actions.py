from typing import cast

from agent.control.backlog import Backlog
from agent.control.source_actions import source_actions
from agent.source.replicators import Replicators
from agent.source.status import ReplicationState, ReplicationStatus


class FakeReplicators:
    """Reports once more in the moment in which it stops, as a conversation does that ends."""

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog

    async def stop(self, protection_id: str) -> None:
        status = ReplicationStatus(
            protection_id, ReplicationState.WAITING, None, 0, 0, 0.0, None, 0
        )
        self._backlog.report_replication(status)

    async def _unused(self, *_: object) -> None:
        raise AssertionError

    start = resync = verify = name_point = _unused


async def test_stopped_replication_is_not_reported_any_more() -> None:
    backlog = Backlog()
    actions = source_actions(cast("Replicators", FakeReplicators(backlog)), backlog)
    await actions.stop("p")
    assert backlog.take(0) == []
