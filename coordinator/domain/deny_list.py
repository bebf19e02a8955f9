"""The deny-list: who is not to be believed although the certificate has not expired.

It follows from the register and the states of hosts; its version rises with every change, in the same transaction.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from coordinator.domain import certificates
from coordinator.domain.certificates import Certificate, CertificateState
from coordinator.domain.control import Control
from coordinator.domain.decisions import Decision
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host, HostState


@dataclass(frozen=True, slots=True)
class Denied:
    """What a deny-list holds at one version: certificates, and hosts that no certificate helps."""

    version: int
    certificates: tuple[Certificate, ...]
    hosts: tuple[Host, ...]


def deny_member(
    control: Control, register: Iterable[Certificate], what: str, now: datetime
) -> Decision:
    """Decide that none of a member's certificates is believed; `what` says whose, and why.

    The version rises even where no certificate is left: the member itself may be on the list from now on.
    """
    event = Event(now, EventKind.DENY_LIST_CHANGED, control.id, what)
    denied = certificates.deny(register, now)
    return Decision((*denied, control.deny_list_changed()), (), (event,))


def content(
    control: Control,
    denied: Iterable[Certificate],
    distrusted: Iterable[Host],
    now: datetime,
    *,
    limit: int,
) -> Denied:
    """Return the present list, at most `limit` certificates and as many hosts.

    What does not fit is what matters least: of hosts the retired ones, which are in no protection; of certificates
    those of hosts that are on the list themselves, and then those that expire first.
    """
    hosts = sorted(distrusted, key=lambda host: (host.state is HostState.RETIRED, host.id))[:limit]
    listed = {host.id for host in hosts}
    found = [
        certificate
        for certificate in denied
        if certificate.state is CertificateState.DENIED and certificate.not_after > now
    ]
    found.sort(key=lambda item: (item.name not in listed, item.not_after, item.id), reverse=True)
    return Denied(control.deny_list_version, tuple(found[:limit]), tuple(hosts))
