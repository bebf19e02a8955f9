"""What people type for counts of bytes, parsed with an error that shows the right form."""

import re
from dataclasses import dataclass

import typer

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(?P<count>[0-9]{1,16})(?P<unit>[KMGT]?)(iB)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ByteSize:
    """A count of bytes."""

    count: int


def parse_size(text: str) -> ByteSize:
    """Return what "512", "64K", "10G" or "2TiB" means: units are powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or int(match["count"]) == 0:
        raise typer.BadParameter(
            f"{text!r} is not a size: write a whole number and K, M, G or T, as in 512M or 10G."
        )
    return ByteSize(int(match["count"]) * _UNITS[match["unit"].upper()])
