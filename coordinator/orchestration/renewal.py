"""Renewing the certificates of hosts while the present ones are good."""

from collections.abc import Iterable
from datetime import datetime

from coordinator.authority.requests import key_hash, requested_key
from coordinator.domain.certificates import MAX_UNUSED, Certificate, CertificateState
from coordinator.domain.commands import by_host
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import ForbiddenError, RefusedError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host
from coordinator.orchestration.admission import CopyFoundError, check_standing, known_host
from coordinator.orchestration.hosts import Membership
from coordinator.orchestration.issuing import issue_certificate
from coordinator.orchestration.trust import denial, quarantine_host
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records
from replikera.identity import Caller, Role


async def renew(vault: Vault, caller: Caller, signing_request: bytes) -> Membership:
    """Issue another certificate to a host; the present one is good until the new one is used.

    A repeated request for the same key is answered with the same certificate. A host that shows a superseded one is
    quarantined. Raises `InvalidValueError`, `ForbiddenError`, `RefusedError`.
    """
    try:
        return await _renew(vault, caller, signing_request)
    except CopyFoundError as error:
        await quarantine_host(vault, caller, error.cause)
        raise await denial(vault, caller) from error


async def _renew(vault: Vault, caller: Caller, signing_request: bytes) -> Membership:
    public_key = requested_key(signing_request)
    now = vault.clock.now()
    async with vault.store.write() as records:
        host, register = await _admitted(records, caller)
        certificate = _issued_before(register, key_hash(public_key), now)
        if certificate is None:
            _check_unused(host, register, now)
            certificate = issue_certificate(vault, Role.HOST, host.id, public_key)
            detail = f"{host.name}: certificate {certificate.id}"
            event = Event(now, EventKind.CERTIFICATE_RENEWED, host.id, detail)
            await records.save(Decision((certificate,), (), (event,)), by_host(host.id))
    return Membership(host.id, host.site, certificate.chain, certificate.not_after)


async def _admitted(records: Records, caller: Caller) -> tuple[Host, tuple[Certificate, ...]]:
    """Return the host that calls, with all its certificates, of which it has to show one."""
    host = await known_host(records, caller)
    host.check_trusted()
    register = await records.certificates_of(Role.HOST, host.id)
    presented = next((item for item in register if item.id == caller.certificate_id), None)
    if presented is None:
        raise ForbiddenError(
            "certificate-unknown",
            f"The vault does not know the certificate {caller.certificate_id} of host {host.name}.",
            "Let the agent open its session first: a vault that was restored takes the certificate over there.",
        )
    check_standing(presented, caller)
    return host, register


def _issued_before(
    register: Iterable[Certificate], public_key_hash: bytes, now: datetime
) -> Certificate | None:
    """Return the certificate that a repeated request is answered with."""
    for certificate in register:
        is_same = certificate.public_key_hash == public_key_hash
        if is_same and certificate.is_believed and certificate.not_after > now:
            return certificate
    return None


def _check_unused(host: Host, register: Iterable[Certificate], now: datetime) -> None:
    unused = [
        certificate
        for certificate in register
        if certificate.state is CertificateState.ISSUED and certificate.not_after > now
    ]
    if len(unused) >= MAX_UNUSED:
        raise RefusedError(
            "too-many-certificates",
            f"Host {host.name} has {len(unused)} certificates that it never used.",
            "Look at the log of its agent: it does not keep what it is given. Readmit it when that is mended: "
            f"replikera host readmit {host.name}.",
        )
