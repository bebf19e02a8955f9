from dataclasses import replace

import pytest

from coordinator.domain import disabling
from coordinator.domain.disabling import DisableIds, DisableRequest, Side
from coordinator.domain.errors import IllegalTransitionError
from coordinator.domain.hosts import HostState
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.orders import RemoveReplica, StopReplication
from coordinator.domain.protections import ProtectionState
from tests.unit.coordinator.examples import LATER, NOW, SOURCE, TARGET, protection_in

DISABLE_IDS = DisableIds(JobId("disable"), OrderId("first"), OrderId("second"), OrderId("clean-up"))
PROTECTION = protection_in(ProtectionState.PROTECTED)


def request(*forgotten: Side) -> DisableRequest:
    return DisableRequest(
        PROTECTION,
        SOURCE,
        TARGET,
        keeps_disks=False,
        forgotten=frozenset(forgotten),
        running=(),
        open_orders=(),
        unfinished_rehearsal=None,
    )


@pytest.mark.parametrize("state", ProtectionState)
def test_every_protection_can_end(state: ProtectionState) -> None:
    ending = replace(request(), protection=protection_in(state))
    job, decision = disabling.start(ending, DISABLE_IDS, NOW)
    assert job.is_at(disabling.STOP)
    (order,) = decision.orders
    assert order.action == StopReplication(PROTECTION.id)


@pytest.mark.parametrize("side", Side)
def test_both_hosts_are_told_when_one_is_not_waited_for(side: Side) -> None:
    job, decision = disabling.start(request(side), DISABLE_IDS, NOW)
    assert [type(order.action) for order in decision.orders] == [StopReplication, RemoveReplica]
    awaited = [disabling.awaits(job, order.action) for order in decision.orders]
    assert awaited == [side is Side.TARGET, side is Side.SOURCE]


def test_a_stopped_source_ends_it_where_the_target_is_forgotten() -> None:
    job, _ = disabling.start(request(Side.TARGET), DISABLE_IDS, NOW)
    decision = disabling.stopped(PROTECTION, job, OrderId("next"), LATER)
    assert (decision.orders, decision.removed) == ((), (PROTECTION,))


@pytest.mark.parametrize("state", [HostState.REVOKED, HostState.QUARANTINED])
def test_a_host_that_is_not_trusted_has_to_be_forgotten(state: HostState) -> None:
    lost = replace(TARGET, state=state)
    with pytest.raises(IllegalTransitionError, match="--forget target"):
        disabling.start(replace(request(), target=lost), DISABLE_IDS, NOW)
    disabling.start(replace(request(Side.TARGET), target=lost), DISABLE_IDS, NOW)
