"""How the failures of a test failover are told."""

import errno

from agent.failover.disks import disk_full
from agent.failover.outcome import RehearsalError, RehearsalRequest
from agent.hypervisor.interface import GuestHealth, HypervisorError
from agent.replica.errors import ReplicaError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def no_healthy_guest(request: RehearsalRequest, guest: GuestHealth) -> RehearsalError:
    """Return the error of a guest that did not answer in time, or is not well."""
    seconds = f"{request.guest_timeout.total_seconds():g} seconds"
    if guest.is_answering:
        return RehearsalError(
            "guest-not-healthy",
            f"The guest of {request.machine_name} was not healthy within {seconds}: "
            f"{guest.summary}.",
            "Try an older point.",
        )
    return RehearsalError(
        "guest-not-answering",
        f"The guest of {request.machine_name} did not answer within {seconds}.",
        "Try again, or an older point; see that the guest's integration services are installed.",
    )


def translate(error: RehearsalError | HypervisorError | ReplicaError | OSError) -> RehearsalError:
    """Return what any failure is as that of a test failover."""
    if isinstance(error, RehearsalError):
        return error
    if isinstance(error, OSError):
        if error.errno in _NO_SPACE:
            return disk_full(error.filename or "the recovered disks", "it ran full")
        return RehearsalError(
            "storage-error",
            f"The host's storage failed: {error}.",
            "Check the volume, then start the test failover again.",
        )
    return RehearsalError(error.code, error.cause, error.remedy)
