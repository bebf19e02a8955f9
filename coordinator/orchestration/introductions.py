"""What follows when a host opens a session: is it who the vault believes, and is the vault the one that it obeyed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from coordinator.domain import certificates, hosts
from coordinator.domain.certificates import Certificate, CertificateState, Use
from coordinator.domain.commands import BY_VAULT, by_host
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import InvalidValueError, RefusedError
from coordinator.domain.hello import HostHello
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import HostId, check_name
from coordinator.orchestration.admission import CopyFoundError, checked
from coordinator.orchestration.catching_up import adopt_rehearsals, tell_again
from coordinator.orchestration.sites import ensure_cloud
from coordinator.orchestration.trust import denial, deny_member, publish_deny_list, quarantine_host
from coordinator.orchestration.vault import Vault
from coordinator.store.history import Anchor
from coordinator.store.records import Records
from replikera.identity import Caller, Role, caller_from_certificate


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a host is answered: where the history is, and whether the vault is to be obeyed.

    `wants_deny_list`: the host's deny-list may be of a history that the vault has lost.
    """

    anchor: Anchor
    is_reconciling: bool
    wants_deny_list: bool


async def introduce(vault: Vault, caller: Caller, hello: HostHello) -> Introduction:
    """Take in what a host says at the start of a session.

    A copy of a host is quarantined, a host that a restored vault does not know is kept and refused. Raises
    `ForbiddenError`, `InvalidValueError`.
    """
    try:
        introduction = await _taken_in(vault, caller, hello)
    except CopyFoundError as error:
        if await _is_late(vault, caller, hello):
            raise _superseded(caller) from error
        await quarantine_host(vault, caller, error.cause)
        raise await denial(vault, caller) from error
    if introduction is None:
        await _keep_unknown(vault, caller, hello)
        raise await denial(vault, caller)
    if not introduction.is_reconciling and not vault.reconciliation.is_reconciling:
        return introduction
    await vault.reconciliation.finish_if_complete(vault)
    async with vault.store.read() as records:
        introduction = await _introduction(vault, records, HostId(caller.name))
    if not introduction.is_reconciling:
        # Its session is not recalled, as those of the hosts that told before are: it is not asked again.
        await _catch_up(vault, HostId(caller.name), hello)
    return introduction


async def _taken_in(vault: Vault, caller: Caller, hello: HostHello) -> Introduction | None:
    """Return the answer to a host that is believed, None for one that the vault does not know."""
    now = vault.clock.now()
    async with vault.store.write() as records:
        host = await records.hosts.find(caller.name)
        if host is None:
            return None
        host.check_trusted()
        register = await records.certificates_of(Role.HOST, host.id)
        use = _use(register, caller, now)
        if not hello.run.may_follow(host.run):
            raise CopyFoundError(_run_text(host, hello))
        told = host.introduced(hello.facts, hello.run, hello.deny_list_version, now)
        decision = Decision(use.changed) + await _news(records, host, told, now)
        await records.save(decision, by_host(host.id))
        if await _is_of_lost_history(records, register, caller):
            cause = (
                f"{host.name} has a certificate that was issued in another history than the vault's"
            )
            await vault.reconciliation.begin(records, cause, now)
        again = NOTHING
        if not await vault.reconciliation.heard(records, told, hello, now):
            again = await _caught_up(vault, records, told, hello)
            await records.save(again, BY_VAULT)
        replaced = (item.id for item in use.changed if not item.is_believed)
        vault.replacements.note(replaced)
        introduction = await _introduction(vault, records, host.id)
    vault.presence.announce(again.orders)
    return introduction


async def _catch_up(vault: Vault, host_id: HostId, hello: HostHello) -> None:
    async with vault.store.write() as records:
        host = await records.hosts.get(host_id)
        again = await _caught_up(vault, records, host, hello)
        await records.save(again, BY_VAULT)
    vault.presence.announce(again.orders)


async def _caught_up(vault: Vault, records: Records, host: Host, hello: HostHello) -> Decision:
    again = await tell_again(vault, records, host, vault.clock.now())
    return again + await adopt_rehearsals(vault, records, host, hello.rehearsals)


async def _news(records: Records, before: Host, told: Host, now: datetime) -> Decision:
    """Decide what is kept of what a host says of itself.

    Where it says nothing new there is nothing to write: when it was heard last is kept with all others. So a vault
    that comes back to thousands of hosts does not sync its disk for each of them.
    """
    if replace(told, last_seen_at=before.last_seen_at) == before:
        return NOTHING
    decision = Decision((told,))
    if told.cloud != before.cloud:
        decision += await ensure_cloud(records, told.site, told.cloud, now)
    return decision


async def _introduction(vault: Vault, records: Records, host_id: HostId) -> Introduction:
    reconciliation = vault.reconciliation
    return Introduction(
        await records.head(),
        reconciliation.is_reconciling,
        reconciliation.wants_deny_list(host_id),
    )


def _use(register: Iterable[Certificate], caller: Caller, now: datetime) -> Use:
    """Return what the use of the caller's certificate changes. Raises `ForbiddenError`, `CopyFoundError`."""
    presented = next((item for item in register if item.id == caller.certificate_id), None)
    if presented is not None:
        return checked(certificates.use(presented, register), caller)
    return checked(certificates.adopt(caller, register, now), caller)


async def _is_late(vault: Vault, caller: Caller, hello: HostHello) -> bool:
    """Tell whether the host itself sent this before it went over to its next certificate, and it arrived after.

    Its run id is in the memory of the agent alone. But a machine may be copied while it runs, so that is believed for
    a moment only.
    """
    if not hello.run_id or not vault.replacements.is_recent(caller.certificate_id):
        return False
    async with vault.store.read() as records:
        host = await records.hosts.get(caller.name)
    return hello.run == host.run


def _superseded(caller: Caller) -> RefusedError:
    return RefusedError(
        "certificate-superseded",
        f"The host has gone over from certificate {caller.certificate_id} to its next one.",
        "Nothing is to be done: its agent dials with that.",
    )


async def _is_of_lost_history(
    records: Records, register: Iterable[Certificate], caller: Caller
) -> bool:
    """Tell whether the vault has issued the caller's certificate and does not know it.

    One that a host has joined with before there was a register is known by the key that it was issued for.
    """
    if any(item.id == caller.certificate_id for item in register):
        return False
    return not any(
        key.certificate_chain
        and caller_from_certificate(key.certificate_chain).serial == caller.serial
        for key in await records.keys_used_by(HostId(caller.name))
    )


async def _keep_unknown(vault: Vault, caller: Caller, hello: HostHello) -> None:
    """Keep a host that joined after the backup from which the vault was restored, and believe it no more."""
    now = vault.clock.now()
    async with vault.store.write() as records:
        if await records.hosts.find(caller.name) is None:
            name = await _free_name(records, caller, hello)
            _, decision = hosts.appeared(HostId(caller.name), name, now)
            denied = certificates.unknown(caller, CertificateState.DENIED, now)
            decision += Decision((denied,))
            decision += await deny_member(records, Role.HOST, caller.name, now)
            await records.save(decision, BY_VAULT)
            cause = f"{name} has a certificate of this vault, which knows nothing of it"
            await vault.reconciliation.begin(records, cause, now)
    await publish_deny_list(vault)
    await vault.reconciliation.finish_if_complete(vault)


async def _free_name(records: Records, caller: Caller, hello: HostHello) -> str:
    """Return what the host calls itself, if that can be its name and no other has it; else its id."""
    try:
        name = check_name("host", hello.name, "name")
    except InvalidValueError:
        return caller.name
    return caller.name if await records.hosts.is_taken(name) else name


def _run_text(host: Host, hello: HostHello) -> str:
    return (
        f"Its agent says that it was started {hello.start_count} times, and start {host.start_count} of another run "
        "was heard already: there may be a copy of it."
    )
