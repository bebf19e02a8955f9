"""Names of files that a recovery point's disk is written to: plain, in every file system, and telling the format."""

import re
from enum import StrEnum

MAX_LENGTH = 128
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]*\.(?P<format>vhdx|raw)")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names of devices in Windows, whatever ending they have."""


class ExportFormat(StrEnum):
    """How the disk is written."""

    VHDX = "vhdx"
    RAW = "raw"


def export_format(name: str) -> ExportFormat | None:
    """Return the format that a file's name asks for, None for a name that cannot be."""
    found = _PLAIN.fullmatch(name)
    if found is None or len(name) > MAX_LENGTH or _RESERVED.fullmatch(name):
        return None
    return ExportFormat(found["format"])
