"""Reconciliation at work: hears the hosts, takes their deny-lists, and lets the vault serve again.

What hosts told is held in memory only: after a restart they tell it again. What a deny-list says is kept at once.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from coordinator.domain import reconciliation
from coordinator.domain.certificates import Certificate, CertificateState, unknown
from coordinator.domain.commands import BY_VAULT, Command
from coordinator.domain.control import Control
from coordinator.domain.errors import RefusedError
from coordinator.domain.events import EventKind
from coordinator.domain.hello import HostHello
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.identifiers import HostId
from coordinator.domain.operators import Operator
from coordinator.domain.orders import CleanUpRehearsal, StartRehearsal
from coordinator.domain.reconciliation import Past
from coordinator.domain.suspicion import Known, is_of_lost_history, suspicion
from coordinator.store.records import Records, WritableRecords
from replikera.identity import Caller, Role, parse_uri_name
from replikera.trust.deny_list import DenyList, DenyListError, reopen_deny_list

if TYPE_CHECKING:  # the vault has this as one of its parts
    from coordinator.orchestration.vault import Vault

_COUNT_SECONDS = 5.0
"""How often it is looked whether somebody is still waited for, who may have been revoked meanwhile."""

Publish: TypeAlias = Callable[["Vault"], Awaitable[None]]
"""Signs the present deny-list, obeys it, and sends it to all connected hosts."""


@dataclass(frozen=True, slots=True)
class MissingHost:
    """A host that has to tell before the vault may go on. One that the vault does not know has its id as its name."""

    host_id: HostId
    name: str


class Reconciliation:
    """Whether the vault catches up with its hosts, and what they have told so far."""

    def __init__(self, control: Control, publish: Publish) -> None:
        self._is_reconciling = control.is_reconciling
        self._publish = publish
        self._reports: dict[HostId, HostHello] = {}
        self._unshown: set[HostId] = set()
        # Most hosts show the same list: it is taken once. As many as there are hosts, 32 bytes each.
        self._taken: set[bytes] = set()
        self._has_begun = False
        self._awaited: set[HostId] = set()
        self._counted_at = 0.0

    @property
    def is_reconciling(self) -> bool:
        """Tell whether no order may be sent."""
        return self._is_reconciling

    def check_serving(self) -> None:
        """Refuse changes while the vault does not know what it has forgotten. Raises `RefusedError`."""
        if self._is_reconciling:
            raise reconciliation.refusal()

    async def heard(
        self, records: WritableRecords, host: Host, hello: HostHello, now: datetime
    ) -> bool:
        """Take in what a host says at the start of a session; return whether the vault reconciles.

        Raises `InvalidValueError` for claims that are not to be believed.
        """
        known = await _known(records, host, hello)
        cause = suspicion(host, hello, known)
        if cause is not None:
            await self.begin(records, cause, now)
        if self._is_reconciling:
            self._reports[host.id] = hello
        self._unshown.discard(host.id)
        if hello.deny_list_version and (self._is_reconciling or is_of_lost_history(hello, known)):
            self._unshown.add(host.id)
        return self._is_reconciling

    def wants_deny_list(self, host_id: HostId) -> bool:
        """Tell whether a host has to show its deny-list before it is given another one.

        Versions say nothing here: the vault and the history that it lost may both have made the same one.
        """
        return host_id in self._unshown

    async def begin(self, records: WritableRecords, cause: str, now: datetime) -> None:
        """Stop serving, because something shows that the vault was restored from an older copy."""
        control = await records.control()
        await records.save(reconciliation.begin(control, cause, now), BY_VAULT)
        if not self._is_reconciling:
            # Before the transaction is over: if it fails, the hosts are asked once more for nothing.
            self._is_reconciling = self._has_begun = True

    async def take_deny_list(self, vault: "Vault", host_id: HostId, signed: bytes) -> None:
        """Keep what a host's list denies, where the host was asked for it. Raises `RefusedError`."""
        if host_id not in self._unshown:
            return
        content = hashlib.sha256(signed).digest()
        if content not in self._taken:
            await self._take(vault, _opened(vault, host_id, signed))
            self._taken.add(content)
        self._unshown.discard(host_id)
        vault.presence.wake((host_id,))
        await self.finish_if_complete(vault)

    async def _take(self, vault: "Vault", found: DenyList) -> None:
        now = vault.clock.now()
        async with vault.store.write() as records:
            control = await records.control()
            certificates = await _denied(records, found, now)
            hosts = await _still_denied(records, found)
            decision = reconciliation.deny(control, found.version, certificates, hosts, now)
            for operator in await _revoked_since(records, certificates):
                decision += operator.revoked_elsewhere(now)
            await records.save(decision, BY_VAULT)
        if decision.aggregates:
            await self._publish(vault)

    async def missing(self, records: Records) -> tuple[MissingHost, ...]:
        """Return the hosts that have to tell before the vault serves again."""
        if not self._is_reconciling:
            return ()
        hosts = await records.hosts.all(limit=None)
        names = {host.id: host.name for host in hosts}
        members = await records.protection_members()
        waited = {*reconciliation.missing(hosts, members, self._reports), *self._silent(hosts)}
        found = [MissingHost(host_id, names.get(host_id, host_id)) for host_id in waited]
        return tuple(sorted(found, key=lambda host: (host.name, host.host_id)))

    async def finish_if_complete(self, vault: "Vault") -> None:
        """Serve again if every host that matters has told."""
        if not self._is_reconciling:
            return
        if self._has_begun:
            # Sessions that were open when it began have not told what they know.
            self._has_begun = False
            vault.presence.drain()
        now = vault.clock.monotonic()
        silent = self._awaited - (self._reports.keys() - self._unshown)
        if silent and now < self._counted_at + _COUNT_SECONDS:
            return
        self._counted_at = now
        async with vault.store.write() as records:
            waited = await self.missing(records)
            self._awaited = {host.host_id for host in waited}
            if waited:
                return
            await self._decide(records, BY_VAULT, vault.clock.now())
        await self._serve(vault)

    async def finish(self, vault: "Vault", command: Command, *, accept_missing: bool) -> Control:
        """Serve again because an owner says so. Raises `RefusedError`."""
        async with vault.store.write() as records:
            if await records.done(command) is not None:
                return await records.control()
            reconciliation.check_reconciling(await records.control())
            waited = [host.name for host in await self.missing(records)]
            reconciliation.check_complete(waited, accept_missing=accept_missing)
            control = await self._decide(records, command, vault.clock.now())
        await self._serve(vault)
        return control

    async def _decide(self, records: WritableRecords, command: Command, now: datetime) -> Control:
        past = await _past(records)
        skipped, decision = reconciliation.finish(past, self._reports, now)
        await records.history.skip_to(skipped)
        await records.save(decision, command, result=past.control.id)
        return await records.control()

    async def _serve(self, vault: "Vault") -> None:
        self._is_reconciling = self._has_begun = False
        self._reports.clear()
        self._unshown.clear()
        self._taken.clear()
        self._awaited = set()
        # Every host dials again and is told where the history is now: only then it obeys.
        vault.presence.drain()
        await self._publish(vault)

    def _silent(self, hosts: Iterable[Host]) -> set[HostId]:
        """Return the trusted hosts that have told of a deny-list and not yet shown it."""
        trusted = {host.id for host in hosts if host.state is HostState.ACTIVE}
        return self._unshown & self._reports.keys() & trusted


async def _known(records: Records, host: Host, hello: HostHello) -> Known:
    line = await records.history.line(hello.anchor[0])
    protections = await records.protections_of(host.id)
    return Known(
        await records.control(),
        (await records.head()).number,
        line.digest if line is not None else None,
        {protection.id: protection for protection in protections},
    )


async def _past(records: Records) -> Past:
    orders = await records.all_open_orders()
    protections = await records.protections.all(limit=None)
    jobs = {order.job_id for order in orders} | {item.job_id for item in protections}
    rehearsals = {
        order.action.rehearsal_id
        for order in orders
        if isinstance(order.action, (StartRehearsal, CleanUpRehearsal))
    }
    return Past(
        await records.control(),
        (await records.head()).number,
        await records.hosts.all(limit=None),
        protections,
        await records.rehearsals.these(rehearsals),
        await records.jobs.these(jobs),
        orders,
        await records.unused_keys(),
    )


async def _revoked_since(records: Records, denied: Iterable[Certificate]) -> tuple[Operator, ...]:
    """Return the operators that a lost history has revoked: nothing else denies an operator's certificate."""
    names = {certificate.name for certificate in denied if certificate.role is Role.OPERATOR}
    found = [await records.operators.named(name) for name in sorted(names)]
    return tuple(item for item in found if item is not None and item.revoked_at is None)


async def _denied(records: Records, deny_list: DenyList, now: datetime) -> list[Certificate]:
    """Return what a deny-list denies and the register does not yet, but for what has expired."""
    holders = [
        Caller(*parse_uri_name(denied.identity), denied.serial, denied.not_after)
        for denied in deny_list.certificates
        if denied.not_after > now
    ]
    ids = {holder.certificate_id for holder in holders}
    kept = {item.id: item for item in await records.certificates.these(ids)}
    found = [
        kept.get(holder.certificate_id) or unknown(holder, CertificateState.ISSUED, now)
        for holder in holders
    ]
    return [item for item in found if item.state is not CertificateState.DENIED]


def _opened(vault: "Vault", host_id: HostId, signed: bytes) -> DenyList:
    try:
        return reopen_deny_list(
            signed, vault_id=vault.record.id, root_certificate=vault.authority.root_certificate
        )
    except DenyListError as error:
        raise RefusedError(
            "deny-list-not-believed",
            f"Host {host_id} sent a deny-list that this vault did not sign: {error}.",
            "Nothing was changed; look at the host.",
        ) from error


async def _still_denied(records: Records, deny_list: DenyList) -> list[Host]:
    """Return the hosts on a deny-list, but for those that were readmitted after it was made."""
    found = []
    for host in await records.hosts.these(_host_ids(deny_list)):
        page = await records.history.page(limit=1, kind=EventKind.HOST_REJOINED, subject=host.id)
        if not any(line.occurred_at > deny_list.issued_at for line in page.items):
            found.append(host)
    return found


def _host_ids(deny_list: DenyList) -> set[HostId]:
    names = [parse_uri_name(identity) for identity in deny_list.identities]
    return {HostId(name) for role, name, _ in names if role is Role.HOST}
