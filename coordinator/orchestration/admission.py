"""Whether a host that calls is the one that the vault believes."""

from coordinator.domain import certificates
from coordinator.domain.certificates import Certificate, Standing, Use
from coordinator.domain.errors import ForbiddenError
from coordinator.domain.hosts import Host
from coordinator.orchestration.trust import certificate_denied
from coordinator.store.records import Records
from replikera.identity import Caller

_SUPERSEDED = "It came with a certificate that it has replaced: there may be a copy of it."


class CopyFoundError(Exception):
    """Two hold the identity of one host. Nothing was stored: the host is to be quarantined."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


async def known_host(records: Records, caller: Caller) -> Host:
    """Return the host of a certificate. Raises `ForbiddenError`."""
    host = await records.hosts.find(caller.name)
    if host is None:
        raise ForbiddenError(
            "host-not-registered",
            f"The vault does not know host {caller.name}.",
            "Let its agent open a session: the vault keeps it, and it can be readmitted then.",
        )
    return host


def check_standing(presented: Certificate, caller: Caller) -> None:
    """Refuse a certificate that is not believed. Raises `ForbiddenError`, `CopyFoundError`."""
    checked(certificates.use(presented, ()), caller)


def checked(use: Use, caller: Caller) -> Use:
    """Return what follows from the use of a certificate. Raises `ForbiddenError`, `CopyFoundError`."""
    match use.standing:
        case Standing.GOOD:
            return use
        case Standing.COPY:
            raise CopyFoundError(_SUPERSEDED)
        case Standing.DENIED:
            raise certificate_denied(caller)
