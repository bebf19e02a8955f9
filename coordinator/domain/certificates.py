r"""Certificates that the authority has issued: which one of a member counts, and which are not to be believed.

    issued -> active -> superseded
        \________|__________|____-> denied

A member has at most one active certificate. The first use of a newer one supersedes all that were issued before it, so
whoever comes with a superseded one holds a copy. Nothing leads out of denied: such a certificate is on the deny-list
until it expires.

A certificate that the register does not have was issued by a history that was lost. It is adopted if it ends no
earlier than all that the register believes: an older one would be as good as a superseded one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from coordinator.domain.aggregates import Aggregate
from replikera.identity import Caller, Role

MAX_UNUSED = 16
"""Good certificates that a member may have beside the active one: each costs a renewal that never came to its end."""


class CertificateState(StrEnum):
    """Where a certificate is."""

    ISSUED = "issued"
    ACTIVE = "active"
    SUPERSEDED = "superseded"
    DENIED = "denied"


class Standing(StrEnum):
    """What it means that a member comes with a certificate."""

    GOOD = "good"
    COPY = "copy"
    """There is another holder of the member's identity."""

    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Certificate(Aggregate):
    """One leaf. `id` is its serial, hexadecimal; `name` is a host id or an operator's name.

    `public_key_hash` and `chain` answer a repeated request for it; both are those of the issue, and empty where the
    vault did not issue it in this history.
    """

    id: str
    role: Role
    name: str
    state: CertificateState
    issued_at: datetime
    not_after: datetime
    public_key_hash: bytes
    chain: bytes

    @property
    def is_believed(self) -> bool:
        """Tell whether its holder is let in."""
        return self.state in (CertificateState.ISSUED, CertificateState.ACTIVE)


@dataclass(frozen=True, slots=True)
class Use:
    """What the use of a certificate means, and the certificates that become something else by it."""

    standing: Standing
    changed: tuple[Certificate, ...] = ()


def use(presented: Certificate, register: Iterable[Certificate]) -> Use:
    """Return what it means that a member presents one of its certificates; `register` has them all."""
    match presented.state:
        case CertificateState.DENIED:
            return Use(Standing.DENIED)
        case CertificateState.SUPERSEDED:
            return Use(Standing.COPY)
        case CertificateState.ACTIVE:
            return Use(Standing.GOOD)
        case CertificateState.ISSUED:
            active = replace(presented, state=CertificateState.ACTIVE)
            older = (
                replace(other, state=CertificateState.SUPERSEDED)
                for other in register
                if other.id != presented.id
                and (other.state is CertificateState.ACTIVE or _is_passed_over(other, presented))
            )
            return Use(Standing.GOOD, (active, *older))


def adopt(caller: Caller, register: Iterable[Certificate], now: datetime) -> Use:
    """Return what it means that a member presents a certificate that the register does not have."""
    believed = [other for other in register if other.is_believed]
    if any(other.not_after > caller.not_after for other in believed):
        return Use(Standing.COPY)
    return use(unknown(caller, CertificateState.ISSUED, now), believed)


def unknown(caller: Caller, state: CertificateState, now: datetime) -> Certificate:
    """Return a certificate of which nothing is known but what its holder showed."""
    return Certificate(
        caller.certificate_id, caller.role, caller.name, state, now, caller.not_after, b"", b""
    )


def deny(register: Iterable[Certificate], now: datetime) -> tuple[Certificate, ...]:
    """Return a member's certificates that are denied from now on: all that have not expired."""
    return tuple(
        replace(certificate, state=CertificateState.DENIED)
        for certificate in register
        if certificate.state is not CertificateState.DENIED and certificate.not_after > now
    )


def _is_passed_over(other: Certificate, presented: Certificate) -> bool:
    """Tell whether the member has skipped this one: it was issued before, and will not come any more."""
    return other.state is CertificateState.ISSUED and other.issued_at <= presented.issued_at
