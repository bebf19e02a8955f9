"""What the vault answers about recovery points."""

from datetime import datetime

from coordinator.domain.points import PointKind
from coordinator.web.models import Answer


class PointName(Answer):
    """Which point something is about."""

    generation: str
    sequence: int


class PointAnswer(PointName):
    """A recovery point; `retained_until` is null as long as it is the newest, which is always kept.

    One is doubtful when its target has told two contents of it.
    """

    id: str
    kind: PointKind
    name: str
    capture_started_at: datetime
    capture_ended_at: datetime
    sealed_at: datetime
    payload_bytes: int
    retained_until: datetime | None
    is_doubtful: bool


class RetentionAnswer(Answer):
    """How far back the points of a protection reach; `payload_bytes` is what all of them carried."""

    policy: str
    retention_hours: int
    count: int
    payload_bytes: int
    oldest: PointAnswer | None
    newest: PointAnswer | None
    newest_application_consistent: PointAnswer | None


class DiskDigestAnswer(Answer):
    """What a disk of a point holds: SHA-256 of all bytes that the guest would see, hexadecimal."""

    disk_id: str
    name: str
    size: int
    sha256: str


class ExportedDiskAnswer(Answer):
    """A disk of a point in a file of its own, as it was read back; `path` is on the target host."""

    point: PointName
    path: str
    disk: DiskDigestAnswer


class DigestedPointAnswer(Answer):
    """What a whole point holds, disk by disk."""

    point: PointName
    disks: list[DiskDigestAnswer]


class NamedPointAnswer(Answer):
    """The point that was given a name."""

    point: PointName
    name: str
