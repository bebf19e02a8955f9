r"""Reconciliation: a vault that was restored from an older copy catches up with what its hosts know.

    serving -> reconciling -> serving

It begins with a restore, or when a host knows more than the vault ever did. While it lasts no order goes out. It ends
when every host that matters has told, or when an owner does without the rest. Why nothing of the past comes back:

* An epoch, a grant's version, the deny-list's version and the number of a line of the history are only ever raised,
  above all that any host has seen: what hosts hold for newer stays newer than nothing that follows.
* An order of the past may have been carried out, or taken back, in the history that was lost: it ends as failed, and
  is never sent. Its job may be started again; hosts recognise what they have done already.
* A key that was not used when the copy was made may have been used since: it opens nothing any more.
* What only hosts know is told and left alone. Nothing is deleted, nowhere.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime

from coordinator.domain import disabling, protection_changes
from coordinator.domain.adoption import adopted, is_member
from coordinator.domain.certificates import Certificate, CertificateState
from coordinator.domain.control import Control, VaultMode
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import RefusedError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hello import HeldProtection, HostHello
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.identifiers import HostId, JobId, ProtectionId, RehearsalId
from coordinator.domain.jobs import Job, JobKind, JobState
from coordinator.domain.orders import (
    CleanUpRehearsal,
    Failure,
    Order,
    StartRehearsal,
)
from coordinator.domain.protections import Protection
from coordinator.domain.registration_keys import RegistrationKey
from coordinator.domain.rehearsals import Rehearsal

SKIPPED_LINES = 1_000_000
"""How far above all that was heard the history goes on: hosts that were not heard have seen less than so many lines."""

SKIPPED_VERSIONS = 1_000
"""The same for the deny-list, where a host was not heard."""

MAX_NAMED = 20
"""How many objects one line of the history names."""

VAULT_RESTORED = Failure(
    "vault-restored",
    "The vault was restored from an older copy: what became of this is not known to it.",
    "Look at both hosts and start it again; they recognise what they have done already.",
)
_DENIED = "A deny-list of the history that the restored vault has lost names it."
_LOOK = "Look at the replication of both hosts before it is trusted again."
_RECONCILE = "Wait until its hosts have told what they know: replikera vault show."


@dataclass(frozen=True, slots=True)
class Past:
    """What the vault holds when it has heard enough. Jobs are those of its protections and open orders."""

    control: Control
    head: int
    hosts: tuple[Host, ...]
    protections: tuple[Protection, ...]
    rehearsals: tuple[Rehearsal, ...]
    jobs: tuple[Job, ...]
    open_orders: tuple[Order, ...]
    unused_keys: tuple[RegistrationKey, ...]


def begin(control: Control, cause: str, now: datetime) -> Decision:
    """Decide that the vault catches up; one that does so already goes on."""
    if control.is_reconciling:
        return NOTHING
    changed = replace(control, mode=VaultMode.RECONCILING, mode_since=now)
    return Decision((changed,), (), (Event(now, EventKind.VAULT_RECONCILING, control.id, cause),))


def restored(control: Control, detail: str, now: datetime) -> Decision:
    """Decide that a vault that was just restored begins by asking its hosts."""
    changed = replace(control, mode=VaultMode.RECONCILING, mode_since=now)
    return Decision((changed,), (), (Event(now, EventKind.VAULT_RESTORED, control.id, detail),))


def believed(hosts: Iterable[Host], reports: Mapping[HostId, HostHello]) -> dict[HostId, HostHello]:
    """Return the reports of hosts that are still trusted: one that was revoked meanwhile has claimed nothing."""
    active = {host.id for host in hosts if host.state is HostState.ACTIVE}
    return {host_id: hello for host_id, hello in reports.items() if host_id in active}


def missing(
    hosts: Iterable[Host], members: AbstractSet[HostId], reports: Mapping[HostId, HostHello]
) -> tuple[HostId, ...]:
    """Return the hosts that have to tell before the vault may go on.

    That is every trusted host that a protection names, the vault's (`members`) or a trusted host's. Where none does,
    one trusted host suffices: whatever was changed last was told to all that were connected.
    """
    known = {host.id: host for host in hosts}
    named = set(members)
    trusted = believed(known.values(), reports)
    named |= {held.peer_host_id for hello in trusted.values() for held in hello.held}
    waited = {
        host_id
        for host_id in named - reports.keys() - {HostId("")}
        if host_id not in known or known[host_id].state is HostState.ACTIVE
    }
    if not waited and not reports:
        waited = {host.id for host in known.values() if host.state is HostState.ACTIVE}
    return tuple(sorted(waited))


def check_complete(waited: Iterable[str], *, accept_missing: bool) -> None:
    """Refuse to go on without these hosts, named, unless somebody answers for it."""
    names = tuple(waited)
    if names and not accept_missing:
        raise RefusedError(
            "hosts-missing",
            f"Hosts that matter have not told what they know: {_listed(names)}.",
            "Start their agents. To do without them, knowing that what only they know is lost: "
            "replikera vault reconcile --accept-missing.",
        )


def check_reconciling(control: Control) -> None:
    """Refuse to end what has not begun."""
    if not control.is_reconciling:
        raise RefusedError(
            "not-reconciling", "The vault does not reconcile: it serves.", "Nothing is left to do."
        )


def refusal() -> RefusedError:
    """Return why a vault that reconciles changes nothing else."""
    return RefusedError(
        "vault-reconciling",
        "The vault was restored from an older copy and catches up with its hosts.",
        _RECONCILE,
    )


def deny(
    control: Control,
    version: int,
    certificates: Iterable[Certificate],
    hosts: Iterable[Host],
    now: datetime,
) -> Decision:
    """Decide that a deny-list of a history that was lost holds here too.

    `version` is its, the rest what it denies and the vault does not yet. Nothing is decided where that is nothing.
    """
    denied = [replace(item, state=CertificateState.DENIED) for item in certificates]
    trusted = [host for host in hosts if host.state is HostState.ACTIVE]
    if not denied and not trusted and version <= control.deny_list_version:
        return NOTHING
    above = max(version, control.deny_list_version)
    changed = replace(control, deny_list_version=above).deny_list_changed()
    event = Event(now, EventKind.DENY_LIST_CHANGED, control.id, f"version {version} of a host")
    decision = Decision((changed, *denied), (), (event,))
    for host in trusted:
        decision += host.quarantined(_DENIED, now)
    return decision


def finish(past: Past, reports: Mapping[HostId, HostHello], now: datetime) -> tuple[int, Decision]:
    """Decide that the vault serves again; return also the number up to which the history is skipped.

    The line that tells of it comes first behind that number.
    """
    reports = believed(past.hosts, reports)
    work = _Work(
        {item.id: item for item in past.protections},
        {item.id: item for item in past.rehearsals},
        {item.id: item for item in past.jobs},
        past,
        now,
    )
    notes = work.adopt(reports)
    work.forget_confirmations()
    work.close_orders()
    work.revoke_keys()
    skipped = max([past.head, *(hello.anchor[0] for hello in reports.values())]) + SKIPPED_LINES
    control = replace(
        past.control,
        mode=VaultMode.SERVING,
        mode_since=now,
        deny_list_version=_next_version(past, reports),
        reconciled_number=skipped,
    )
    detail = "; ".join([_heard(past, reports), *notes, *work.summary()])
    told = Event(now, EventKind.VAULT_RECONCILED, control.id, detail)
    return skipped, Decision((control,), (), (told,)) + work.decision()


@dataclass(slots=True)
class _Work:
    """Protections, rehearsals and jobs as they become, and the decisions on the way."""

    protections: dict[ProtectionId, Protection]
    rehearsals: dict[RehearsalId, Rehearsal]
    jobs: dict[JobId, Job]
    past: Past
    now: datetime
    _decisions: list[Decision] = field(default_factory=list)

    def decision(self) -> Decision:
        """Return all of it as one decision."""
        made = self._decisions
        return Decision(
            tuple(item for decision in made for item in decision.aggregates),
            tuple(order for decision in made for order in decision.orders),
            tuple(event for decision in made for event in decision.events),
        )

    def adopt(self, reports: Mapping[HostId, HostHello]) -> list[str]:
        """Take over what members know of their protections; return what else was told."""
        claims: dict[ProtectionId, list[tuple[HostId, HeldProtection]]] = {}
        for host_id, hello in sorted(reports.items()):
            for held in hello.held:
                claims.setdefault(held.protection_id, []).append((host_id, held))
        for protection_id, told in claims.items():
            protection = self.protections.get(protection_id)
            if protection is not None:
                self._adopt_one(protection, [at for at in told if is_member(protection, at[0])])
        orphans = sorted(claims.keys() - self.protections.keys())
        lost = sorted(
            item.id
            for item in self.protections.values()
            if item.id not in claims and {item.source_host_id, item.target_host_id} & reports.keys()
        )
        notes = []
        if orphans:
            notes.append(f"kept by hosts alone: {_listed(orphans)}")
        if lost:
            notes.append(f"held by no host that told: {_listed(lost)}")
        return notes

    def forget_confirmations(self) -> None:
        """Let all hosts be told again how they replicate: what they confirmed last may be lost."""
        told = [item for item in self.protections.values() if item.has_confirmed]
        self._add(Decision(tuple(item.unconfirmed() for item in told)))

    def close_orders(self) -> None:
        """End every order that has no outcome, and its job."""
        for order in self.past.open_orders:
            withdrawn = replace(order, withdrawn_at=order.withdrawn_at or self.now)
            self._add(Decision(orders=(withdrawn.finished(VAULT_RESTORED, self.now),)))
            self._fail_job_of(order)

    def revoke_keys(self) -> None:
        """Let no key of the past open the vault."""
        for key in self.past.unused_keys:
            gone = replace(key, revoked_at=self.now)
            event = Event(self.now, EventKind.KEY_REVOKED, key.id, "the vault was restored")
            self._add(Decision((gone,), (), (event,)))

    def summary(self) -> list[str]:
        """Return what was done, in words."""
        return [
            f"{len(self.past.open_orders)} orders withdrawn",
            f"{len(self.past.unused_keys)} registration keys revoked",
        ]

    def _adopt_one(
        self, protection: Protection, claims: list[tuple[HostId, HeldProtection]]
    ) -> None:
        if not claims:
            return
        newer, doubt = adopted(protection, claims)
        if newer != protection:
            detail = f"epoch {newer.epoch_number}, generation {newer.generation}, grant {newer.grant_version}"
            event = Event(self.now, EventKind.EPOCH_ADOPTED, newer.id, detail)
            self._add(Decision((newer,), (), (event,)))
        if doubt is not None:
            failure = Failure(VAULT_RESTORED.code, doubt, _LOOK)
            self._add(newer.resync_required(self.jobs[newer.job_id], failure, self.now))

    def _fail_job_of(self, order: Order) -> None:
        job = self.jobs[order.job_id]
        if job.state is not JobState.RUNNING or disabling.is_beside(job, order.action):
            self._add(disabling.unattended(job, order.action, VAULT_RESTORED, self.now))
            return
        self._add(self._failed(order, job) or Decision((job.failed(VAULT_RESTORED, self.now),)))

    def _failed(self, order: Order, job: Job) -> Decision | None:
        """Decide what follows for what the order is about, None where the job is all that fails."""
        if isinstance(order.action, (StartRehearsal, CleanUpRehearsal)):
            rehearsal = self.rehearsals.get(order.action.rehearsal_id)
            return None if rehearsal is None else rehearsal.failed(job, VAULT_RESTORED, self.now)
        protection = self.protections.get(order.action.protection_id)
        return None if protection is None else self._failed_change(protection, order, job)

    def _failed_change(self, protection: Protection, order: Order, job: Job) -> Decision | None:
        match job.kind:
            case JobKind.ENABLE_PROTECTION:
                return protection.failed(job, VAULT_RESTORED, self.now)
            case JobKind.DISABLE_PROTECTION if disabling.awaits(job, order.action):
                return disabling.failed(protection, job, VAULT_RESTORED, self.now)
            case JobKind.DISABLE_PROTECTION:
                return disabling.unattended(job, order.action, VAULT_RESTORED, self.now)
            case kind if kind in protection_changes.KINDS:
                running = self._running(protection)
                return protection_changes.failed(protection, job, VAULT_RESTORED, running, self.now)
            case _:
                return None  # whoever wants it begins again

    def _running(self, protection: Protection) -> list[Job]:
        found = (job for job in self.jobs.values() if job.protection_id == protection.id)
        running = (job for job in found if job.state is JobState.RUNNING)
        return sorted(running, key=lambda job: job.created_at)

    def _add(self, decision: Decision) -> None:
        self._decisions.append(decision)
        for aggregate in decision.aggregates:
            match aggregate:
                case Protection():
                    self.protections[aggregate.id] = aggregate
                case Job():
                    self.jobs[aggregate.id] = aggregate
                case Rehearsal():
                    self.rehearsals[aggregate.id] = aggregate
                case _:
                    pass


def _next_version(past: Past, reports: Mapping[HostId, HostHello]) -> int:
    seen = [hello.deny_list_version for hello in reports.values()]
    unheard = any(host.state is HostState.ACTIVE and host.id not in reports for host in past.hosts)
    step = SKIPPED_VERSIONS if unheard else 1
    return max([past.control.deny_list_version, *seen]) + step


def _heard(past: Past, reports: Mapping[HostId, HostHello]) -> str:
    trusted = [host.id for host in past.hosts if host.state is HostState.ACTIVE]
    return f"{sum(host_id in reports for host_id in trusted)} of {len(trusted)} trusted hosts told"


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    rest = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return ", ".join(found[:MAX_NAMED]) + rest
