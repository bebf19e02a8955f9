"""What the vault ordered of a source: replicate this machine to that host, in this way."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from agent.source.errors import AssignmentError, first_problem
from replikera.blocks.segment import MAX_DISKS

MAX_WINDOWS = 64
"""More windows than a week needs."""

MAX_RATE = 1 << 40
"""No link is as fast: what is ordered above it is a mistake."""

Count: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 63)]
Uuid: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=1024)]

_CONFIG = ConfigDict(extra="forbid")


class Compression(StrEnum):
    """How payload is stored; `ADAPTIVE` only while the network is the limit."""

    OFF = "off"
    ADAPTIVE = "adaptive"
    LZ4 = "lz4"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True)
class ThrottleWindow:
    """A limit on some days at some time of this host's clock.

    Bit 0 of `weekdays` is Monday. An end that is not after the start is on the next day. 0 bytes a second: nothing.
    """

    __pydantic_config__ = _CONFIG

    weekdays: Annotated[int, Field(ge=0, lt=128)]
    start_minute: Annotated[int, Field(ge=0, lt=1440)]
    end_minute: Annotated[int, Field(ge=0, le=1440)]
    bytes_per_second: Annotated[int, Field(ge=0, le=MAX_RATE)]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What is replicated, to where and in which epoch, and behind that how: settings, which may change.

    `epoch` is the number. The first window of `throttle` that holds now limits. An interval of zero is "never".
    """

    __pydantic_config__ = _CONFIG

    protection_id: Uuid
    epoch: Count
    generation: Uuid
    machine_id: Text
    target_host_id: Text
    target_address: Text
    copy_frequency: Annotated[timedelta, Field(gt=timedelta())]
    compression: Compression = Compression.OFF
    throttle: Annotated[tuple[ThrottleWindow, ...], Field(max_length=MAX_WINDOWS)] = ()
    application_consistent_interval: Annotated[timedelta, Field(ge=timedelta())] = timedelta()
    excluded_disk_ids: Annotated[tuple[Text, ...], Field(max_length=MAX_DISKS)] = ()
    is_paused: bool = False

    def is_same_replication(self, other: "Assignment") -> bool:
        """Tell whether the two differ in settings at most."""
        return self.identity == other.identity

    @property
    def identity(self) -> tuple[str, int, str, str, str]:
        """Return what no order changes."""
        return (
            self.protection_id,
            self.epoch,
            self.generation,
            self.machine_id,
            self.target_host_id,
        )


_ADAPTER = TypeAdapter(Assignment)
_UUID = TypeAdapter(Uuid)


def check_assignment(assignment: Assignment) -> None:
    """Raise `AssignmentError` for an order that no vault gives."""
    try:
        _ADAPTER.validate_json(_ADAPTER.dump_json(assignment), strict=True)
    except ValidationError as error:
        raise _bad_order("to replicate", error) from error


def check_identifier(identifier: str, what: str) -> None:
    """Raise `AssignmentError` for an id that no vault gives; it becomes the name of a file."""
    try:
        _UUID.validate_python(identifier, strict=True)
    except ValidationError as error:
        raise _bad_order(what, error) from error


def _bad_order(what: str, error: ValidationError) -> AssignmentError:
    return AssignmentError(
        "bad-order",
        f"The order {what} cannot be followed: {first_problem(error)}.",
        "Install the same version on the vault and the host.",
    )
