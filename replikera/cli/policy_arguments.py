"""What people type for the settings of a policy."""

from dataclasses import dataclass
from enum import StrEnum

import typer

from replikera.cli.arguments import parse_positive_duration, parse_retention

_OFF = "off"
_DEFAULT = "default"


class Compression(StrEnum):
    """How payload is compressed on its way."""

    OFF = "off"
    ADAPTIVE = "adaptive"
    LZ4 = "lz4"
    ZSTD = "zstd"


class OnDisable(StrEnum):
    """What becomes of a replica's disks when its protection is disabled."""

    KEEP = "keep"
    DELETE = "delete"


class InitialReplication(StrEnum):
    """How the first copy of a machine comes to its target."""

    ONLINE = "online"
    SCHEDULED = "scheduled"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Interval:
    """Time between application-consistent points, in whole hours; 0 is off."""

    hours: int


@dataclass(frozen=True, slots=True)
class RpoTarget:
    """How old the newest point may be; None leaves it to the copy frequency."""

    seconds: int | None


def parse_interval_of_points(text: str) -> Interval:
    """Return what "1h", "12h" or "off" means."""
    return Interval(0 if text.strip() == _OFF else parse_retention(text).seconds // 3600)


def parse_rpo_target(text: str) -> RpoTarget:
    """Return what "15s", "10m" or "default" means."""
    if text.strip() == _DEFAULT:
        return RpoTarget(None)
    return RpoTarget(parse_positive_duration(text).seconds)


def check_throttle_choice(*, is_given: bool, is_removed: bool) -> None:
    """Refuse windows together with their removal. Raises `typer.BadParameter`."""
    if is_given and is_removed:
        raise typer.BadParameter("--throttle and --no-throttle exclude each other.")
