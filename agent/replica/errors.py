"""What the replica refuses, and what its storage does to it, in words for an operator."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.replica.fence import SyncFailedError
from replikera.blocks.segment import SegmentFormatError
from replikera.vhdx.errors import VhdxError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
BASE_DAMAGED = "base-damaged"
RESYNC = "Points that are listed stay and can be tested; resynchronize the protection to continue."


class ReplicaError(Exception):
    """A refusal or failure; `is_diverged` where the two sides hold different histories."""

    def __init__(self, code: str, cause: str, remedy: str, *, is_diverged: bool = False) -> None:
        super().__init__(f"{cause} {remedy}")
        self.code = code
        self.cause = cause
        self.remedy = remedy
        self.is_diverged = is_diverged


class BaseDamagedError(Exception):
    """Bytes of a base are not those that were written: those around `offset` of a disk, by its place and name."""

    def __init__(self, disk: int, disk_name: str, offset: int) -> None:
        super().__init__(f"{disk_name} at {offset}")
        self.disk = disk
        self.disk_name = disk_name
        self.offset = offset


def base_damaged(error: BaseDamagedError) -> ReplicaError:
    """Return the error of a base that the storage did not keep as it was written."""
    return ReplicaError(
        BASE_DAMAGED,
        f"The replica's disk {error.disk_name} has changed by itself around byte {error.offset}.",
        "Resynchronize the protection, and check the volume. Points that do not need these bytes can be recovered.",
    )


def disk_full(folder: Path) -> ReplicaError:
    """Return the error of a volume without space."""
    return ReplicaError(
        "disk-full",
        f"The volume of {folder} has no space left.",
        "Free space on it or shorten the retention; replication continues by itself.",
    )


def damaged(what: object, problem: object, *, is_diverged: bool = True) -> ReplicaError:
    """Return the error of a file that is not what was written."""
    return ReplicaError("replica-damaged", f"{what}: {problem}.", RESYNC, is_diverged=is_diverged)


def storage_failed(error: SyncFailedError) -> ReplicaError:
    """Return the error of a replica whose storage dropped what it had accepted."""
    return ReplicaError(
        "storage-failed",
        f"{error.path} could not be made durable: {error.strerror}.",
        "Check the volume, then restart the agent: it continues from what is durable.",
    )


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Translate what the operating system and file formats raise; `folder` is named when it is full."""
    try:
        yield
    except SyncFailedError as error:
        raise storage_failed(error) from error
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full(folder) from error
        raise ReplicaError(
            "storage-error", f"{folder}: {error}.", "Check the volume; the agent tries again."
        ) from error
    except BaseDamagedError as error:
        raise base_damaged(error) from error
    except (SegmentFormatError, VhdxError) as error:
        raise damaged(folder, error) from error
