from dataclasses import replace

import pytest

from coordinator.domain import resyncs
from coordinator.domain.errors import IllegalTransitionError
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.protection_changes import ChangeIds
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.domain.replication import ReplicationState
from tests.unit.coordinator.examples import LATER, NOW, SOURCE, protection_in

CHANGE_IDS = ChangeIds(JobId("resync"), OrderId("resync-order"))
DOUBTFUL = protection_in(ProtectionState.RESYNC_REQUIRED)


@pytest.mark.parametrize("state", ProtectionState)
def test_only_what_requires_a_resync_gets_one(state: ProtectionState) -> None:
    if state is ProtectionState.RESYNC_REQUIRED:
        job, decision = resyncs.start(DOUBTFUL, SOURCE, None, CHANGE_IDS, NOW)
        assert replace(DOUBTFUL, job_id=job.id) in decision.aggregates
        return
    with pytest.raises(IllegalTransitionError):
        resyncs.start(replace(DOUBTFUL, state=state), SOURCE, None, CHANGE_IDS, NOW)


def test_a_paused_protection_is_resumed_before() -> None:
    with pytest.raises(IllegalTransitionError) as caught:
        resyncs.start(replace(DOUBTFUL, is_paused=True), SOURCE, None, CHANGE_IDS, NOW)
    assert caught.value.code == "protection-paused"


@pytest.mark.parametrize("state", ProtectionState)
@pytest.mark.parametrize("report", ReplicationState)
def test_only_a_source_that_replicates_again_ends_a_resync(
    state: ProtectionState, report: ReplicationState
) -> None:
    job, _ = resyncs.start(DOUBTFUL, SOURCE, None, CHANGE_IDS, NOW)
    job = job.task_done(NOW)
    decision = resyncs.reported(replace(DOUBTFUL, state=state), job, report, LATER)
    after = [item.state for item in decision.aggregates if isinstance(item, Protection)]
    ends = (state, report) == ("resynchronizing", "replicating")
    begins = (state, report) == ("resync-required", "resynchronizing")
    assert after == (["protected"] if ends else ["resynchronizing"] if begins else [])
    assert (job.task_done(LATER) in decision.aggregates) == ends
