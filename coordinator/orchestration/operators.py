"""Operators: recognising them at every request, creating, renewing and revoking them."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec

from coordinator.authority.requests import key_hash, requested_key
from coordinator.domain import certificates, operators
from coordinator.domain.certificates import (
    MAX_UNUSED,
    Certificate,
    CertificateState,
    Standing,
)
from coordinator.domain.commands import Command, by_operator
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import ForbiddenError, InvalidValueError, RefusedError
from coordinator.domain.identifiers import OperatorId
from coordinator.domain.operators import Operator, OperatorRole
from coordinator.orchestration.issuing import issue_certificate
from coordinator.orchestration.trust import deny_member, publish_deny_list
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records, WritableRecords
from replikera.identity import Caller, Role


@dataclass(frozen=True, slots=True)
class Credentials:
    """An operator with a certificate of its own."""

    operator: Operator
    certificate: Certificate


async def recognise(vault: Vault, caller: Caller) -> Operator:
    """Return the operator who calls, as it is in the vault now. Raises `ForbiddenError`.

    The first use of a certificate makes it the operator's active one, and refuses the older ones from then on.
    """
    if caller.not_after <= vault.clock.now():
        # The handshake saw to it; a connection may last longer than the certificate.
        raise ForbiddenError(
            "certificate-expired",
            f"The certificate of operator {caller.name} expired on {caller.not_after:%Y-%m-%d %H:%M} UTC.",
            "Connect again with a renewed one; else ask an owner for another operator.",
        )
    refusal = vault.denials.refusal(caller)
    if refusal is not None:
        raise _denied(refusal)
    async with vault.store.read() as records:
        operator, certificate = await _look_up(records, caller)
    if _is_in_use(certificate):
        return operator
    async with vault.store.write() as records:
        operator, certificate = await _look_up(records, caller)
        if not _is_in_use(certificate):
            await _take_into_use(vault, records, caller, certificate)
    return operator


async def create_operator(
    vault: Vault, command: Command, name: str, role: OperatorRole, signing_request: str
) -> Credentials:
    """Make an operator with a name that was never given, and its first certificate."""
    key = _requested_key(signing_request)
    operator_id = OperatorId(vault.randomness.uuid())
    operator, decision = operators.create(operator_id, name, role, vault.clock.now())
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await _issued_before(records, await records.operators.get(done), key)
        if await records.operators.is_taken(name):
            raise RefusedError(
                "operator-name-taken",
                f"There is, or was, an operator {name}.",
                "Choose another name: in the history a name is one operator.",
            )
        certificate = issue_certificate(vault, Role.OPERATOR, operator.name, key)
        decision += Decision(aggregates=(certificate,))
        await records.save(decision, command, result=operator.id)
    return Credentials(operator, certificate)


async def renew_operator(
    vault: Vault, command: Command, caller: Caller, signing_request: str
) -> Credentials:
    """Issue another certificate to the operator who calls; the present one is good until the new one is used.

    A request for a key that has a good certificate is answered with that.
    """
    key, now = _requested_key(signing_request), vault.clock.now()
    async with vault.store.write() as records:
        operator, _ = await _look_up(records, caller)
        if (done := await records.done(command)) is not None:
            return Credentials(operator, await records.certificates.get(done))
        good = await _good_certificates(records, operator, now)
        same = _of_key(good, key)
        if same is not None:
            return Credentials(operator, same)
        _check_unused(operator, good)
        certificate = issue_certificate(vault, Role.OPERATOR, operator.name, key)
        decision = operator.renewed(certificate.id, now)
        decision += Decision(aggregates=(certificate,))
        await records.save(decision, command, result=certificate.id)
    return Credentials(operator, certificate)


async def revoke_operator(vault: Vault, command: Command, name: str, reason: str) -> Operator:
    """Let an operator in no more, at once; all its certificates are denied."""
    now = vault.clock.now()
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.operators.get(done)
        operator = await records.operators.get(name)
        owners = await _owners_who_can_act(records, now)
        operator, decision = operator.revoked(owners, reason, now)
        decision += await deny_member(records, Role.OPERATOR, operator.name, now)
        await records.save(decision, command, result=operator.id)
    await publish_deny_list(vault)
    return operator


async def own_certificate(records: Records, caller: Caller) -> Certificate:
    """Return the certificate that the caller uses."""
    return await records.certificates.get(caller.certificate_id)


def _requested_key(signing_request: str) -> ec.EllipticCurvePublicKey:
    try:
        return requested_key(base64.b64decode(signing_request, validate=True))
    except ValueError as error:
        raise InvalidValueError(
            "invalid-signing-request",
            "The certificate signing request is not base64.",
            "Send PKCS#10 in DER as base64, as the replikera command does.",
            field="certificate_signing_request",
        ) from error


async def _look_up(records: Records, caller: Caller) -> tuple[Operator, Certificate | None]:
    """Return the operator of a certificate, and what the register has of it. Raises `ForbiddenError`."""
    operator = await records.operators.named(caller.name)
    if operator is None:
        raise ForbiddenError(
            "operator-unknown",
            f"The vault has no operator {caller.name}.",
            "An owner creates operators: replikera operator create.",
        )
    operator.check_trusted()
    certificate = await records.certificates.find(caller.certificate_id)
    if certificate is not None and certificate.state is CertificateState.DENIED:
        raise _denied(f"the vault has denied the certificate {certificate.id} of {caller.uri}")
    if certificate is not None and certificate.state is CertificateState.SUPERSEDED:
        raise _superseded(caller)
    return operator, certificate


def _is_in_use(certificate: Certificate | None) -> bool:
    return certificate is not None and certificate.state is CertificateState.ACTIVE


async def _take_into_use(
    vault: Vault, records: WritableRecords, caller: Caller, certificate: Certificate | None
) -> None:
    """Make the certificate the operator's active one; the older ones are superseded. Raises `ForbiddenError`.

    One that the register does not have was issued by a vault that was lost: the operator is known, so it may count.
    """
    register = await records.certificates_of(Role.OPERATOR, caller.name)
    if certificate is None:
        use = certificates.adopt(caller, register, vault.clock.now())
    else:
        use = certificates.use(certificate, register)
    if use.standing is not Standing.GOOD:
        raise _superseded(caller)
    await records.save(Decision(aggregates=use.changed), by_operator(caller.name))


async def _issued_before(
    records: Records, operator: Operator, key: ec.EllipticCurvePublicKey
) -> Credentials:
    """Return what a repeated request is answered with: the certificate that was issued for this key."""
    same = _of_key(await records.certificates_of(Role.OPERATOR, operator.name), key)
    if same is None:
        raise RefusedError(
            "certificate-gone",
            f"The first certificate of operator {operator.name} has expired and is not kept any more.",
            "Create another operator: replikera operator create.",
        )
    return Credentials(operator, same)


async def _owners_who_can_act(records: Records, now: datetime) -> tuple[Operator, ...]:
    """Return owners who are trusted and hold a certificate that is good: one without could not come in."""
    owners = [item for item in await records.operators.all() if item.is_acting_owner]
    return tuple([owner for owner in owners if await _good_certificates(records, owner, now)])


async def _good_certificates(
    records: Records, operator: Operator, now: datetime
) -> tuple[Certificate, ...]:
    register = await records.certificates_of(Role.OPERATOR, operator.name)
    return tuple(certificate for certificate in register if _is_good(certificate, now))


def _of_key(register: Iterable[Certificate], key: ec.EllipticCurvePublicKey) -> Certificate | None:
    """Return the first certificate that was issued for a key."""
    return next((item for item in register if item.public_key_hash == key_hash(key)), None)


def _check_unused(operator: Operator, good: Iterable[Certificate]) -> None:
    """Refuse one more certificate where many were never used: the register is bounded."""
    unused = [item for item in good if item.state is CertificateState.ISSUED]
    if len(unused) >= MAX_UNUSED:
        raise RefusedError(
            "too-many-certificates",
            f"Operator {operator.name} has {len(unused)} certificates that were never used.",
            "Use the newest one; that makes the older ones void.",
        )


def _is_good(certificate: Certificate, now: datetime) -> bool:
    return certificate.is_believed and now < certificate.not_after


def _superseded(caller: Caller) -> ForbiddenError:
    return ForbiddenError(
        "certificate-superseded",
        f"Operator {caller.name} has used a newer certificate than {caller.certificate_id}.",
        "Use the profile with the newest one. If that is not yours, the key was copied: "
        "let an owner revoke the operator.",
    )


def _denied(cause: str) -> ForbiddenError:
    return ForbiddenError(
        "certificate-denied",
        f"{cause[:1].upper()}{cause[1:]}.",
        "Ask an owner for another operator: replikera operator create.",
    )
