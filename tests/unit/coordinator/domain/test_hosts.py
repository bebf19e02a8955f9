from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from coordinator.domain import hosts
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import (
    ForbiddenError,
    IllegalTransitionError,
    InvalidValueError,
    RefusedError,
)
from coordinator.domain.events import EventKind
from coordinator.domain.hosts import AgentRun, Host, HostFacts, HostState
from coordinator.domain.identifiers import HostId
from tests.unit.coordinator.examples import LATER, NOW, SOURCE

FACTS = HostFacts(
    "silver", "hyperv", "2.0", "new:1", timedelta(seconds=30), ("D:\\Replicas", "E:\\")
)
NOT_ACTIVE = [HostState.QUARANTINED, HostState.REVOKED, HostState.RETIRED]


def in_state(state: HostState) -> Host:
    return replace(SOURCE, state=state, cause="It was stolen.", remedy="Readmit it.")


def test_a_host_takes_over_what_its_agent_says_but_not_its_name_or_site() -> None:
    host = SOURCE.introduced(FACTS, AgentRun(4, "run-4"), 7, LATER)
    assert (host.id, host.name, host.site) == (SOURCE.id, SOURCE.name, SOURCE.site)
    assert (host.cloud, host.hypervisor, host.agent_version) == ("silver", "hyperv", "2.0")
    assert host.replication_address == "new:1"
    assert host.minimum_copy_interval == timedelta(seconds=30)
    assert host.replica_folders == ("D:\\Replicas", "E:\\")
    assert host.last_seen_at == LATER
    assert (host.run, host.deny_list_version) == (AgentRun(4, "run-4"), 7)


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("text", ["x" * 256, "two\nlines", "\x1b[2J"])
def test_facts_that_cannot_be_shown_are_refused(at: int, text: str) -> None:
    texts = ["cloud", "hyperv", "1.0", "host:1"]
    texts[at] = text
    with pytest.raises(InvalidValueError, match="agent"):
        HostFacts(texts[0], texts[1], texts[2], texts[3], timedelta(0))


@pytest.mark.parametrize(
    "folders",
    [("",), ("x" * 1025,), ("/r\n/s",), ("/r", "/r"), tuple(f"/r/{at}" for at in range(65))],
)
def test_folders_that_are_none_are_refused(folders: tuple[str, ...]) -> None:
    with pytest.raises(InvalidValueError, match="64 different paths") as caught:
        replace(FACTS, replica_folders=folders)
    assert caught.value.field == "replica_folders"


@pytest.mark.parametrize(
    ("earlier", "later", "may"),
    [
        ((0, ""), (0, ""), True),
        ((0, ""), (1, "a"), True),
        ((3, "a"), (3, "a"), True),
        ((3, "a"), (4, "b"), True),
        ((3, "a"), (9, "b"), True),
        ((3, "a"), (3, "b"), False),
        ((3, "a"), (2, "a"), False),
        ((3, "a"), (2, "b"), False),
        ((3, "a"), (0, ""), False),
    ],
)
def test_a_run_of_an_agent_is_the_same_or_counts_higher(
    earlier: tuple[int, str], later: tuple[int, str], may: bool
) -> None:
    assert AgentRun(*later).may_follow(AgentRun(*earlier)) is may


def test_only_an_active_host_is_trusted() -> None:
    SOURCE.check_trusted()
    for state in NOT_ACTIVE:
        with pytest.raises(ForbiddenError) as caught:
            in_state(state).check_trusted()
        assert caught.value.code == f"host-{state}"
        assert "It was stolen." in caught.value.cause
        assert caught.value.remedy == "Readmit it."


def test_a_quarantined_host_says_why_and_what_to_do() -> None:
    decision = SOURCE.quarantined("There are two.", LATER)
    (host,) = decision.aggregates
    assert isinstance(host, Host)
    assert (host.state, host.cause) == (HostState.QUARANTINED, "There are two.")
    assert "replikera host readmit a1" in (host.remedy or "")
    assert decision.events[0].kind is EventKind.HOST_QUARANTINED


@pytest.mark.parametrize("state", [HostState.ACTIVE, HostState.QUARANTINED])
def test_a_host_is_revoked_with_the_operators_reason(state: HostState) -> None:
    host, decision = in_state(state).revoked("stolen", LATER)
    assert host.state is HostState.REVOKED
    assert "stolen" in (host.cause or "")
    assert decision.aggregates == (host,)
    assert (decision.events[0].kind, decision.events[0].detail) == (
        EventKind.HOST_REVOKED,
        "a1: stolen",
    )


def test_a_retired_host_frees_its_name() -> None:
    host, decision = SOURCE.retired((), "", LATER)
    assert (host.state, host.name) == (HostState.RETIRED, f"a1~{SOURCE.id[:8]}")
    assert decision.events[0].kind is EventKind.HOST_RETIRED


def test_a_host_in_a_protection_is_not_retired() -> None:
    with pytest.raises(RefusedError) as caught:
        SOURCE.retired([f"vm-{at}" for at in range(7)], "", LATER)
    assert caught.value.code == "host-in-use"
    assert "vm-0, vm-1, vm-2, vm-3, vm-4 and 2 more" in caught.value.cause


@pytest.mark.parametrize(
    ("state", "act"),
    [
        (HostState.REVOKED, lambda host: host.revoked("", NOW)),
        (HostState.RETIRED, lambda host: host.revoked("", NOW)),
        (HostState.RETIRED, lambda host: host.retired((), "", NOW)),
        (HostState.RETIRED, lambda host: host.check_readmissible()),
    ],
)
def test_what_has_happened_does_not_happen_again(
    state: HostState, act: Callable[[Host], Any]
) -> None:
    with pytest.raises(IllegalTransitionError):
        act(in_state(state))


def test_a_host_that_is_back_is_trusted_and_may_count_its_runs_anew() -> None:
    before = replace(in_state(HostState.QUARANTINED), start_count=9, run_id="r")
    before.check_readmissible()
    host, decision = before.rejoined(LATER, "a1 with key k")
    host.check_trusted()
    assert (host.run, host.cause, host.remedy) == (AgentRun(0, ""), None, None)
    assert host.id == before.id
    assert decision.events[0].kind is EventKind.HOST_REJOINED


def test_a_host_that_the_vault_does_not_know_is_kept_and_not_believed() -> None:
    host, decision = hosts.appeared(HostId("x"), "x1", NOW)
    assert (host.state, host.site) == (HostState.QUARANTINED, "unknown")
    assert "backup" in (host.cause or "")
    assert "replikera host readmit x1" in (host.remedy or "")
    assert decision == Decision((host,), (), decision.events)
