"""How commands on disk files fail: what is wrong with the file, or why the machine does not give it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replikera.cli.errors import CommandError, ConflictError, NotFoundError
from replikera.vhdx import VhdxError


class DiskError(CommandError):
    """The file is damaged, not a disk that this version knows, or cannot be read or written."""


class TargetExistsError(ConflictError):
    """The name is taken."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Let failures around the file at `path` become errors of the command."""
    try:
        yield
    except VhdxError as error:
        cause = f"{error.path}: {error.problem}"
        raise DiskError("disk-refused", cause, error.remedy) from error
    except FileExistsError as error:
        raise TargetExistsError(
            "target-exists", f"{_place(error, path)} exists", "Name another file"
        ) from error
    except FileNotFoundError as error:
        raise NotFoundError(
            "file-not-found",
            f"{_place(error, path)} does not exist",
            "Name an existing file; folders are not made",
        ) from error
    except OSError as error:
        raise DiskError(
            "file-not-accessible",
            f"{_place(error, path)}: {error.strerror or error}",
            "Check the file's permissions and its volume",
        ) from error


def _place(error: OSError, path: Path) -> str:
    return error.filename if isinstance(error.filename, str) else str(path)
