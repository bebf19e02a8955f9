"""The other programs of this distribution."""

import sysconfig
from collections.abc import Sequence
from pathlib import Path


def with_full_path(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return a command line whose program is the one of this very installation."""
    return (str(Path(sysconfig.get_path("scripts")) / arguments[0]), *arguments[1:])
