"""How the vault finds out that it was restored from an older copy: a host knows more than the vault ever did."""

from collections.abc import Mapping
from dataclasses import dataclass

from coordinator.domain.adoption import is_member
from coordinator.domain.control import Control
from coordinator.domain.errors import InvalidValueError
from coordinator.domain.hello import HostHello
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import ProtectionId
from coordinator.domain.protections import Protection

MOST_AHEAD = 1 << 40
"""A host that claims to be further ahead is not believed: the vault would run out of numbers."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the vault itself has of the things that a host speaks of.

    `digest` is that of its line with the number that the host remembers, None where it has no such line.
    """

    control: Control
    head: int
    digest: bytes | None
    protections: Mapping[ProtectionId, Protection]


def suspicion(host: Host, hello: HostHello, known: Known) -> str | None:
    """Return how a host shows that the vault was restored, None where it does not.

    Raises `InvalidValueError` for claims that no history can have led to.
    """
    number, digest = hello.anchor
    _check_believable(host, "line of the history", number, known.head)
    version = known.control.deny_list_version
    _check_believable(host, "version of the deny-list", hello.deny_list_version, version)
    if number > known.head:
        return f"{host.name} has obeyed line {number} of the history, which ends at {known.head}"
    # A host that never had a digest cannot contradict; what was before a reconciliation is settled.
    if digest and number > known.control.reconciled_number and digest != known.digest:
        return f"{host.name} has obeyed another line {number} of the history"
    if hello.deny_list_version > version:
        return f"{host.name} has deny-list {hello.deny_list_version}, the vault {version}"
    return _suspicious_protection(host, hello, known.protections)


def is_of_lost_history(hello: HostHello, known: Known) -> bool:
    """Tell whether the host obeyed last what was decided in a lost history that is settled since."""
    number, digest = hello.anchor
    is_settled = 0 < number <= known.control.reconciled_number
    is_ours = known.digest is not None and digest in (b"", known.digest)
    return is_settled and not is_ours


def _suspicious_protection(
    host: Host, hello: HostHello, protections: Mapping[ProtectionId, Protection]
) -> str | None:
    for held in hello.held:
        own = protections.get(held.protection_id)
        if own is None or not is_member(own, host.id):
            continue
        _check_believable(host, "epoch of a protection", held.epoch_number, own.epoch_number)
        _check_believable(host, "grant of a protection", held.grant_version, own.grant_version)
        if held.epoch_number > own.epoch_number:
            return f"{host.name} holds {own.id} in epoch {held.epoch_number}, the vault in {own.epoch_number}"
        if held.grant_version > own.grant_version:
            return f"{host.name} has grant {held.grant_version} of {own.id}, the vault {own.grant_version}"
    return None


def _check_believable(host: Host, what: str, claimed: int, own: int) -> None:
    if claimed > own + MOST_AHEAD:
        raise InvalidValueError(
            "unbelievable-claim",
            f"Host {host.name} claims to know {what} {claimed}, where the vault is at {own}.",
            f"Its state is damaged or forged. Look at the host; revoke it: replikera host revoke {host.name}.",
            field="hello",
        )
