from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain import jobs, reconciliation, registration_keys
from coordinator.domain.certificates import CertificateState, unknown
from coordinator.domain.control import Control, VaultMode
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.disabling import STOP
from coordinator.domain.errors import RefusedError
from coordinator.domain.events import EventKind
from coordinator.domain.hello import HostHello
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.identifiers import (
    Generation,
    HostId,
    JobId,
    KeyId,
    OrderId,
    ProtectionId,
    RehearsalId,
)
from coordinator.domain.jobs import Job, JobKind, JobState
from coordinator.domain.orders import (
    AcceptReplica,
    CleanUpRehearsal,
    Order,
    RemoveReplica,
    StopReplication,
)
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.domain.reconciliation import (
    SKIPPED_LINES,
    SKIPPED_VERSIONS,
    VAULT_RESTORED,
    Past,
)
from coordinator.domain.registration_keys import RegistrationKey
from coordinator.domain.rehearsals import START_TASKS, Rehearsal, RehearsalState
from replikera.identity import Caller, Role
from tests.unit.coordinator.domain.reconciling import hello, holds
from tests.unit.coordinator.examples import (
    LATER,
    NOW,
    POLICY,
    SOURCE,
    TARGET,
    enabling,
    protection_in,
)

SERVING = Control("v-1", VaultMode.SERVING, NOW, deny_list_version=4)
CONTROL = replace(SERVING, mode=VaultMode.RECONCILING)
THIRD = replace(SOURCE, id=HostId("third"), name="c1")
PROTECTED, JOB = (
    protection_in(ProtectionState.PROTECTED),
    jobs.start(
        JobId("job"),
        JobKind.ENABLE_PROTECTION,
        "web",
        ("one",),
        NOW,
        protection_id=ProtectionId("protection"),
    ),
)


def past(**more: Any) -> Past:
    values: dict[str, Any] = {
        "control": CONTROL,
        "head": 50,
        "hosts": (SOURCE, TARGET),
        "protections": (PROTECTED,),
        "rehearsals": (),
        "jobs": (replace(JOB, state=JobState.SUCCEEDED),),
        "open_orders": (),
        "unused_keys": (),
    }
    return Past(**values | more)


def finished(held: Past, reports: Mapping[HostId, HostHello]) -> tuple[int, Decision]:
    return reconciliation.finish(held, reports, LATER)


def of_kind(decision: Decision, kind: type[Any]) -> dict[str, Any]:
    """Return the aggregates of a kind as they are in the end."""
    return {item.id: item for item in decision.aggregates if isinstance(item, kind)}


def test_it_begins_once_and_says_why() -> None:
    decision = reconciliation.begin(SERVING, "a1 knows more", LATER)
    assert decision.aggregates == (replace(SERVING, mode=VaultMode.RECONCILING, mode_since=LATER),)
    (event,) = decision.events
    assert (event.kind, event.detail) == (EventKind.VAULT_RECONCILING, "a1 knows more")
    assert reconciliation.begin(CONTROL, "again", LATER) == NOTHING


def test_a_restored_vault_begins_with_it() -> None:
    for control in (SERVING, CONTROL):
        decision = reconciliation.restored(control, "from a backup", LATER)
        (restored,) = decision.aggregates
        assert isinstance(restored, Control)
        assert (restored.mode, restored.mode_since) == (VaultMode.RECONCILING, LATER)
        assert decision.events[0].kind is EventKind.VAULT_RESTORED


def missing(
    hosts: tuple[Host, ...], members: set[str], reports: Mapping[str, HostHello]
) -> tuple[str, ...]:
    told = {HostId(name): said for name, said in reports.items()}
    return reconciliation.missing(hosts, {HostId(name) for name in members}, told)


def test_every_trusted_host_that_a_protection_names_has_to_tell() -> None:
    hosts = (SOURCE, TARGET, THIRD)
    members = {"source", "target"}
    assert missing(hosts, members, {}) == ("source", "target")
    assert missing(hosts, members, {"third": hello()}) == ("source", "target")
    assert missing(hosts, members, {"source": hello()}) == ("target",)
    assert missing(hosts, members, {"source": hello(), "target": hello()}) == ()


@pytest.mark.parametrize("state", [HostState.QUARANTINED, HostState.REVOKED, HostState.RETIRED])
def test_a_host_that_is_not_trusted_is_not_waited_for(state: HostState) -> None:
    hosts = (SOURCE, replace(TARGET, state=state))
    assert missing(hosts, {"source", "target"}, {"source": hello()}) == ()


def test_a_host_that_another_names_has_to_tell_too_known_or_not() -> None:
    said = hello(holds(PROTECTED, SOURCE.id, peer_host_id="third"))
    assert missing((SOURCE, THIRD), set(), {"source": said}) == ("third",)
    assert missing((SOURCE,), set(), {"source": said}) == ("third",)
    assert missing((SOURCE,), set(), {"source": said, "third": hello()}) == ()
    alone = hello(holds(PROTECTED, SOURCE.id, peer_host_id=""))
    assert missing((SOURCE,), set(), {"source": alone}) == ()


def test_what_a_host_claimed_that_is_trusted_no_more_is_forgotten() -> None:
    said = hello(holds(PROTECTED, SOURCE.id, peer_host_id="ghost"))
    revoked = replace(SOURCE, state=HostState.REVOKED)
    assert missing((revoked, TARGET), {"target"}, {"source": said}) == ("target",)
    assert reconciliation.believed((revoked, TARGET), {SOURCE.id: said}) == {}


def test_without_protections_one_trusted_host_has_to_tell() -> None:
    gone = replace(TARGET, state=HostState.RETIRED)
    assert missing((SOURCE, THIRD, gone), set(), {}) == ("source", "third")
    assert missing((SOURCE, THIRD, gone), set(), {"third": hello()}) == ()
    assert missing((gone,), set(), {}) == ()
    assert missing((), set(), {}) == ()


def test_going_on_without_a_host_needs_somebody_who_answers_for_it() -> None:
    with pytest.raises(RefusedError, match="a1, b1.*--accept-missing") as caught:
        reconciliation.check_complete(("a1", "b1"), accept_missing=False)
    assert caught.value.code == "hosts-missing"
    reconciliation.check_complete(("a1",), accept_missing=True)
    reconciliation.check_complete((), accept_missing=False)
    with pytest.raises(RefusedError) as caught:
        reconciliation.check_reconciling(SERVING)
    assert caught.value.code == "not-reconciling"
    reconciliation.check_reconciling(CONTROL)
    assert reconciliation.refusal().code == "vault-reconciling"


def test_many_names_are_counted() -> None:
    with pytest.raises(RefusedError, match="host-19 and 80 more"):
        reconciliation.check_complete((f"host-{at}" for at in range(100)), accept_missing=False)


def test_the_vault_serves_again_above_everything_that_was_seen() -> None:
    reports = {
        SOURCE.id: hello(number=70, history="x", deny_list_version=9),
        TARGET.id: hello(number=20, history="y"),
    }
    skipped, decision = finished(past(), reports)
    assert skipped == 70 + SKIPPED_LINES
    assert of_kind(decision, Control) == {
        "v-1": replace(SERVING, mode_since=LATER, deny_list_version=10, reconciled_number=skipped)
    }
    assert decision.events[0].kind is EventKind.VAULT_RECONCILED
    assert "2 of 2 trusted hosts told" in decision.events[0].detail


def test_where_a_trusted_host_did_not_tell_versions_are_left_out() -> None:
    _, decision = finished(past(), {SOURCE.id: hello(deny_list_version=9)})
    assert of_kind(decision, Control)["v-1"].deny_list_version == 9 + SKIPPED_VERSIONS
    assert "1 of 2 trusted hosts told" in decision.events[0].detail
    skipped, decision = finished(past(), {})
    assert skipped == 50 + SKIPPED_LINES
    assert of_kind(decision, Control)["v-1"].deny_list_version == 4 + SKIPPED_VERSIONS


def test_what_members_know_of_their_protections_is_taken_over() -> None:
    said = hello(holds(PROTECTED, TARGET.id, epoch_number=7, generation="gen-7", grant_version=3))
    _, decision = finished(past(), {TARGET.id: said})
    adopted = replace(
        PROTECTED,
        epoch_number=7,
        generation=Generation("gen-7"),
        grant_version=3,
        grant_issued_at=None,
        grant_not_after=None,
    )
    assert of_kind(decision, Protection) == {PROTECTED.id: adopted}
    (event,) = (at for at in decision.events if at.kind is EventKind.EPOCH_ADOPTED)
    assert (event.subject, event.detail) == (
        PROTECTED.id,
        "epoch 7, generation gen-7, grant 3",
    )


def test_members_that_contradict_each_other_need_a_resync() -> None:
    reports = {
        SOURCE.id: hello(holds(PROTECTED, SOURCE.id, epoch_number=7, generation="a")),
        TARGET.id: hello(holds(PROTECTED, TARGET.id, epoch_number=7, generation="b")),
    }
    _, decision = finished(past(), reports)
    doubtful = of_kind(decision, Protection)[PROTECTED.id]
    assert (doubtful.state, doubtful.epoch_number) == (ProtectionState.RESYNC_REQUIRED, 7)
    assert "different generations" in doubtful.cause


def test_what_only_hosts_know_and_what_none_holds_is_told_and_left_alone() -> None:
    orphan = replace(PROTECTED, id=ProtectionId("orphan"))
    reports = {
        SOURCE.id: hello(holds(orphan, SOURCE.id)),
        TARGET.id: hello(holds(orphan, TARGET.id)),
    }
    _, decision = finished(past(), reports)
    assert of_kind(decision, Protection) == {}
    assert "kept by hosts alone: orphan; held by no host that told: protection" in (
        decision.events[0].detail
    )


def test_the_claim_of_a_host_that_is_no_member_counts_for_nothing() -> None:
    said = hello(holds(PROTECTED, SOURCE.id, epoch_number=9))
    _, decision = finished(past(hosts=(SOURCE, TARGET, THIRD)), {THIRD.id: said})
    assert of_kind(decision, Protection) == {}


def test_an_open_order_fails_with_its_job_and_what_the_job_was_about() -> None:
    protection, job = enabling()
    action = AcceptReplica(
        protection.id,
        1,
        protection.generation,
        SOURCE.id,
        protection.machine_id,
        "web",
        timedelta(hours=1),
    )
    order = Order(OrderId("o"), job.id, TARGET.id, NOW, action)
    held = past(protections=(protection,), jobs=(job,), open_orders=(order,))
    _, decision = finished(held, {})
    assert decision.orders == (
        replace(order, withdrawn_at=LATER, outcome=VAULT_RESTORED, finished_at=LATER),
    )
    assert of_kind(decision, Job)[job.id].state is JobState.FAILED
    lost = of_kind(decision, Protection)[protection.id]
    assert (lost.state, lost.cause) == (ProtectionState.FAILED, VAULT_RESTORED.cause)
    assert "1 orders withdrawn" in decision.events[0].detail


def test_a_pause_that_the_past_had_ordered_is_not_wanted_any_more() -> None:
    protection = protection_in(ProtectionState.PROTECTED, is_paused=True)
    action = protection.assignment(TARGET, POLICY)
    job = jobs.start(
        JobId("j"), JobKind.PAUSE_PROTECTION, "web", ("pause",), NOW, protection_id=protection.id
    )
    order = Order(OrderId("o"), job.id, SOURCE.id, NOW, action)
    _, decision = finished(past(protections=(protection,), jobs=(job,), open_orders=(order,)), {})
    assert not of_kind(decision, Protection)[protection.id].is_paused
    assert of_kind(decision, Job)[job.id].state is JobState.FAILED


def test_a_disabling_that_the_past_had_ordered_tells_that_it_hangs() -> None:
    protection = protection_in(ProtectionState.DISABLING)
    job = jobs.start(
        JobId("j"), JobKind.DISABLE_PROTECTION, "web", (STOP,), NOW, protection_id=protection.id
    )
    stop = Order(OrderId("o"), job.id, SOURCE.id, NOW, StopReplication(protection.id))
    remove = RemoveReplica(protection.id, keep_disks=True)
    forgotten = Order(OrderId("p"), job.id, TARGET.id, NOW, remove)
    held = past(protections=(protection,), jobs=(job,), open_orders=(forgotten, stop))
    _, decision = finished(held, {})
    assert of_kind(decision, Protection)[protection.id].cause == VAULT_RESTORED.cause
    kinds = [event.kind for event in decision.events]
    assert "forgotten-host-failed" in kinds
    assert "disabling-failed" in kinds


def rehearsal(name: str) -> tuple[Rehearsal, Job, Order]:
    job = jobs.start(
        JobId(f"job of {name}"),
        JobKind.START_TEST_FAILOVER,
        "web",
        START_TASKS,
        NOW,
        protection_id=PROTECTED.id,
        rehearsal_id=RehearsalId(name),
    )
    begun = Rehearsal(
        RehearsalId(name),
        PROTECTED.id,
        job.id,
        RehearsalState.CLEANING_UP,
        PROTECTED.generation,
        1,
        "web - test",
        (),
        NOW,
        "mapped",
        NOW + timedelta(14),
    )
    action = CleanUpRehearsal(begun.id, PROTECTED.id)
    asked = NOW + timedelta(seconds=1)
    return begun, job, Order(OrderId(name), job.id, TARGET.id, NOW, action, withdrawn_at=asked)


def test_a_test_failover_of_the_past_has_failed_and_may_be_cleaned_up() -> None:
    begun, job, order = rehearsal("r")
    held = past(rehearsals=(begun,), jobs=(*past().jobs, job), open_orders=(order,))
    _, decision = finished(held, {})
    assert of_kind(decision, Rehearsal)["r"].state is RehearsalState.FAILED
    assert decision.orders[0].withdrawn_at == order.withdrawn_at


def test_an_order_whose_job_has_ended_or_whose_subject_is_gone_is_closed_all_the_same() -> None:
    _, job, order = rehearsal("r")
    held = past(jobs=(*past().jobs, job), open_orders=(order,))
    _, decision = finished(held, {})
    assert of_kind(decision, Job)[job.id].state is JobState.FAILED
    ended = replace(job, state=JobState.CANCELLED)
    _, decision = finished(replace(held, jobs=(ended,)), {})
    assert of_kind(decision, Job) == {}
    assert decision.orders[0].outcome == VAULT_RESTORED


def test_a_key_of_the_past_opens_nothing_any_more() -> None:
    key, _ = registration_keys.create(KeyId("k"), "secret", "a", timedelta(days=1), NOW)
    _, decision = finished(past(unused_keys=(key,)), {})
    assert of_kind(decision, RegistrationKey) == {"k": replace(key, revoked_at=LATER)}
    assert EventKind.KEY_REVOKED in [event.kind for event in decision.events]


def test_what_a_newer_deny_list_denies_is_denied_at_once() -> None:
    caller = Caller(Role.HOST, "source", "v-1", 0xABC, LATER)
    known = unknown(caller, CertificateState.ACTIVE, NOW)
    revoked = replace(TARGET, state=HostState.REVOKED)
    decision = reconciliation.deny(CONTROL, 9, (known,), (SOURCE, revoked), LATER)
    control, *certificates, host = decision.aggregates
    assert control == replace(CONTROL, deny_list_version=10)
    assert certificates == [replace(known, state=CertificateState.DENIED)]
    assert isinstance(host, Host)
    assert (host.id, host.state) == (SOURCE.id, HostState.QUARANTINED)
    assert "replikera host readmit a1" in (host.remedy or "")
    assert [event.kind for event in decision.events] == [
        EventKind.DENY_LIST_CHANGED,
        EventKind.HOST_QUARANTINED,
    ]


def test_a_list_that_the_vault_knows_all_of_decides_nothing() -> None:
    quarantined = replace(SOURCE, state=HostState.QUARANTINED)
    assert reconciliation.deny(CONTROL, 4, (), (quarantined,), LATER) == NOTHING
    # A newer version is passed, so that its holders take the vault's next list.
    (control,) = reconciliation.deny(CONTROL, 5, (), (), LATER).aggregates
    assert control == replace(CONTROL, deny_list_version=6)
    # An older one that denies more does not make the vault fall back.
    control, _ = reconciliation.deny(CONTROL, 1, (), (SOURCE,), LATER).aggregates
    assert control == replace(CONTROL, deny_list_version=5)


# A history: what the vault decides step by step. Hosts see each step of theirs, or stop listening at some moment.


class Story:
    """A vault's whole history, the copy that is made in its middle, and what the hosts have seen in the end."""

    def __init__(self, random: Random, steps: int) -> None:
        self.random = random
        self.hosts = {name: self._host(name) for name in ("h0", "h1", "h2", "h3")}
        self.protections: dict[str, Protection] = {}
        self.jobs: dict[str, Job] = {}
        self.orders: dict[str, Order] = {}
        self.keys: dict[str, RegistrationKey] = {}
        self.head = 0
        self.deny_list_version = 0
        self.seen: dict[str, HostHello] = {name: hello() for name in self.hosts}
        copied_at = random.randrange(steps)
        for step in range(steps):
            if step == copied_at:
                self.copy = self._past()
            self._step(step)

    def _host(self, name: str) -> Host:
        return replace(SOURCE, id=HostId(name), name=name)

    def _step(self, step: int) -> None:
        self.head += self.random.randrange(1, 4)
        choice = self.random.choice(
            [self._protect, self._raise, self._deny, self._invite, self._answer]
        )
        choice(step)
        listening = [name for name in self.hosts if self.random.random() < 0.7]
        for name in listening:
            self._tell(name)

    def _protect(self, step: int) -> None:
        source, target = self.random.sample(sorted(self.hosts), 2)
        protection, job = enabling()
        name = f"p{step}"
        job = replace(job, id=JobId(name), protection_id=ProtectionId(name))
        self.protections[name] = replace(
            protection,
            id=ProtectionId(name),
            source_host_id=HostId(source),
            target_host_id=HostId(target),
            job_id=job.id,
        )
        self.jobs[name] = job
        action = AcceptReplica(
            ProtectionId(name),
            1,
            protection.generation,
            HostId(source),
            protection.machine_id,
            "web",
            timedelta(hours=1),
        )
        self.orders[name] = Order(OrderId(name), job.id, HostId(target), NOW, action)

    def _raise(self, step: int) -> None:
        for name, protection in self.protections.items():
            if self.random.random() < 0.5:
                self.protections[name] = replace(
                    protection,
                    epoch_number=protection.epoch_number + self.random.randrange(2),
                    grant_version=protection.grant_version + 1,
                )

    def _deny(self, step: int) -> None:
        self.deny_list_version += 1

    def _invite(self, step: int) -> None:
        key, _ = registration_keys.create(KeyId(f"k{step}"), "secret", "a", timedelta(days=1), NOW)
        self.keys[key.id] = key

    def _answer(self, step: int) -> None:
        for name, order in self.orders.items():
            if order.outcome is None and self.random.random() < 0.5:
                self.orders[name] = order.finished(VAULT_RESTORED, NOW)

    def _tell(self, name: str) -> None:
        held = [
            holds(item, HostId(name))
            for item in self.protections.values()
            if name in (item.source_host_id, item.target_host_id)
        ]
        self.seen[name] = hello(
            *held,
            number=self.head,
            history="lost",
            deny_list_version=self.deny_list_version,
        )

    def _past(self) -> Past:
        return Past(
            replace(CONTROL, deny_list_version=self.deny_list_version),
            self.head,
            tuple(self.hosts.values()),
            tuple(self.protections.values()),
            (),
            tuple(self.jobs.values()),
            tuple(order for order in self.orders.values() if order.outcome is None),
            tuple(self.keys.values()),
        )


@given(st.integers(0, 2**32), st.integers(1, 25))
def test_nothing_of_the_past_comes_back_whatever_was_lost(seed: int, steps: int) -> None:
    story = Story(Random(seed), steps)
    reports = {HostId(name): said for name, said in story.seen.items()}
    skipped, decision = finished(story.copy, reports)
    control = of_kind(decision, Control)["v-1"]
    protections = {item.id: item for item in story.copy.protections}
    for item in of_kind(decision, Protection).values():
        protections[item.id] = item
    for said in reports.values():
        assert skipped >= said.anchor[0] + SKIPPED_LINES
        assert control.deny_list_version > said.deny_list_version
        for held in said.held:
            if held.protection_id in protections:
                own = protections[held.protection_id]
                assert own.epoch_number >= held.epoch_number
                assert own.grant_version >= held.grant_version
    assert control.deny_list_version > story.copy.control.deny_list_version
    assert control.reconciled_number == skipped >= story.copy.head + SKIPPED_LINES
    closed = {order.id: order for order in decision.orders}
    assert closed.keys() == {order.id for order in story.copy.open_orders}
    assert all(order.outcome is not None for order in closed.values())
    ended = {item.id: item for item in story.copy.jobs} | of_kind(decision, Job)
    assert all(ended[order.job_id].state is not JobState.RUNNING for order in closed.values())
    keys = of_kind(decision, RegistrationKey)
    assert all(keys[key.id].revoked_at for key in story.copy.unused_keys)
    assert decision.removed == ()


def test_what_hosts_confirmed_in_the_past_is_not_known_any_more() -> None:
    protection = PROTECTED
    told = AcceptReplica(
        protection.id,
        1,
        protection.generation,
        SOURCE.id,
        protection.machine_id,
        "web",
        timedelta(hours=1),
    )
    confirmed = replace(PROTECTED, told_target=told)
    _, decision = finished(past(protections=(confirmed,)), {})
    found = of_kind(decision, Protection)[confirmed.id]
    assert (found.told_target, found.told_source) == (None, None)
    _, decision = finished(past(protections=(PROTECTED,)), {})
    assert of_kind(decision, Protection) == {}
