"""Withdrawing and giving back trust: in the store first, then at once in this vault and at all its hosts."""

from datetime import datetime

import structlog

from coordinator.domain import deny_list
from coordinator.domain.certificates import CertificateState, unknown
from coordinator.domain.commands import BY_VAULT, Command
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.deny_list import Denied
from coordinator.domain.errors import DomainError, ForbiddenError
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.identifiers import VaultId
from coordinator.domain.inventory import Inventory
from coordinator.domain.orders import Failure
from coordinator.domain.registration_keys import RegistrationKey
from coordinator.orchestration.outcomes import finished
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records, WritableRecords
from replikera.identity import Caller, Role, uri_name
from replikera.trust.deny_list import MAX_DENIED, DeniedCertificate, DenyList, sign_deny_list

log = structlog.get_logger()


async def revoke_host(vault: Vault, command: Command, name: str, reason: str) -> Host:
    """Trust a host no more, at once; nothing that it was given counts any longer."""
    now = vault.clock.now()
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.hosts.get(done)
        host, decision = (await records.hosts.get(name)).revoked(reason, now)
        decision += await deny_member(records, Role.HOST, host.id, now)
        decision += await _without_keys(records, host, now)
        await _end_orders(vault, records, host, command)
        decision += await _without_waiting(records, host, now)
        await records.save(decision, command, result=host.id)
    await publish_deny_list(vault)
    return host


async def retire_host(vault: Vault, command: Command, name: str, reason: str) -> Host:
    """Let a host go for good. Raises `RefusedError` for one that is in a protection."""
    now = vault.clock.now()
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.hosts.get(done)
        host = await records.hosts.get(name)
        machines = [item.machine_name for item in await records.protections_of(host.id)]
        host, decision = host.retired(machines, reason, now)
        # Nobody lists its machines anew: what it had would stay in lists for good.
        await records.inventories.replace(host.id, Inventory((), ()))
        decision += await deny_member(records, Role.HOST, host.id, now)
        decision += await _without_keys(records, host, now)
        await records.save(decision, command, result=host.id)
    await publish_deny_list(vault)
    return host


async def revoke_key(vault: Vault, command: Command, key_id: str) -> RegistrationKey:
    """Make an unused registration key open nothing."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.keys.get(done)
        key, decision = (await records.keys.get(key_id)).revoked(vault.clock.now())
        await records.save(decision, command, result=key.id)
    return key


async def quarantine_host(vault: Vault, caller: Caller, cause: str) -> None:
    """Believe nobody of a host's name any more, because there may be two; `caller` is who showed it.

    A host that is not believed anyway stays as it is.
    """
    now = vault.clock.now()
    async with vault.store.write() as records:
        host = await records.hosts.get(caller.name)
        if host.state is HostState.ACTIVE:
            decision = host.quarantined(cause, now)
            decision += await _known(records, caller, now)
            decision += await deny_member(records, Role.HOST, host.id, now)
            await records.save(decision, BY_VAULT)
            log.warning("host quarantined", host=host.id, name=host.name, cause=cause)
    await publish_deny_list(vault)


async def deny_member(records: Records, role: Role, name: str, now: datetime) -> Decision:
    """Decide that no certificate of a member is believed any more. The list is to be published after."""
    register = await records.certificates_of(role, name)
    control = await records.control()
    return deny_list.deny_member(control, register, f"all certificates of {role} {name}", now)


async def publish_deny_list(vault: Vault) -> None:
    """Sign the present deny-list, obey it, and have it sent to all connected hosts."""
    now = vault.clock.now()
    async with vault.store.read() as records:
        found = deny_list.content(
            await records.control(),
            await records.denied_certificates(now),
            await records.distrusted_hosts(),
            now,
            limit=MAX_DENIED,
        )
    listed = _as_document(vault.record.id, found, now)
    vault.deny_lists.take(found.version, sign_deny_list(vault.authority.signer, listed))
    vault.denials.update(listed)
    vault.presence.wake_all()
    if found.version:
        log.info(
            "deny-list published",
            version=found.version,
            certificates=len(listed.certificates),
            hosts=len(listed.identities),
        )


def current_deny_list(vault: Vault) -> bytes:
    """Return the newest deny-list as it was signed, empty where nobody was ever denied."""
    return vault.deny_lists.signed if vault.deny_lists.version else b""


async def denial(vault: Vault, caller: Caller) -> DomainError:
    """Return why a denied host is refused, in words for its operators. Raises `StoreError`."""
    async with vault.store.read() as records:
        host = await records.hosts.find(caller.name)
    try:
        if host is not None:
            host.check_trusted()
    except ForbiddenError as error:
        return error
    return certificate_denied(caller)


def certificate_denied(caller: Caller) -> ForbiddenError:
    """Return the refusal of a certificate that is denied while its holder is not."""
    return ForbiddenError(
        "certificate-denied",
        f"The certificate {caller.certificate_id} of {caller.uri} is denied: it was replaced or withdrawn.",
        f"Use the newest certificate of the host, or readmit it: replikera host readmit {caller.name}.",
    )


async def _known(records: Records, caller: Caller, now: datetime) -> Decision:
    """Decide that the register has the caller's certificate: it has to be on the deny-list whoever issued it."""
    if await records.certificates.find(caller.certificate_id) is not None:
        return NOTHING
    return Decision((unknown(caller, CertificateState.DENIED, now),))


async def _without_keys(records: Records, host: Host, now: datetime) -> Decision:
    """Decide that no key that was made for the host's readmission brings it back."""
    decision = NOTHING
    for key in await records.unused_keys():
        if key.readmits == host.id:
            decision += key.revoked(now)[1]
    return decision


async def _end_orders(vault: Vault, records: WritableRecords, host: Host, command: Command) -> None:
    """End what the host was told to do as failed: nobody knows when it comes back, nor who it is then.

    One after the other, for two may be about one protection: each has to see what the one before has changed.
    """
    failure = _revoked(host)
    for order in await records.open_orders(host.id):
        decision = await finished(vault, records, order, failure, vault.clock.now())
        await records.save(decision, command)
        vault.progress.forget(order.job_id)


async def _without_waiting(records: Records, host: Host, now: datetime) -> Decision:
    """Decide that no job waits for what a host would report: there is no order whose failure ends it."""
    waiting = [
        job
        for protection in await records.protections_of(host.id)
        for job in await records.running_jobs_of(protection.id)
        if job.waits_for_report
    ]
    return Decision(tuple(job.failed(_revoked(host), now) for job in waiting))


def _revoked(host: Host) -> Failure:
    return Failure(
        "host-revoked",
        f"Host {host.name} was revoked before it had carried this out.",
        f"Readmit it (replikera host readmit {host.name}) and start this again; it recognises what it has done.",
    )


def _as_document(vault_id: VaultId, found: Denied, now: datetime) -> DenyList:
    certificates = tuple(
        DeniedCertificate(
            int(item.id, 16), uri_name(item.role, item.name, vault_id), item.not_after
        )
        for item in found.certificates
    )
    identities = frozenset(uri_name(Role.HOST, host.id, vault_id) for host in found.hosts)
    return DenyList(vault_id, found.version, now, certificates, identities)
