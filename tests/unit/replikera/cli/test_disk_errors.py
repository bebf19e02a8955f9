import errno
from pathlib import Path

import pytest

from replikera.cli.disk_errors import disk_errors
from replikera.cli.errors import CommandError, ExitCode
from replikera.vhdx import VhdxError

DISK = Path("/disks/a.vhdx")


@pytest.mark.parametrize(
    ("error", "code", "exit_code", "cause"),
    [
        (
            VhdxError(Path("/p.vhdx"), "it is torn", "Mend"),
            "disk-refused",
            1,
            "/p.vhdx: it is torn",
        ),
        (FileExistsError(errno.EEXIST, "x", "/t"), "target-exists", ExitCode.CONFLICT, "/t exists"),
        (
            FileNotFoundError(errno.ENOENT, "x", "/t"),
            "file-not-found",
            ExitCode.NOT_FOUND,
            "/t does not exist",
        ),
        (
            OSError(errno.ENOSPC, "No space left"),
            "file-not-accessible",
            1,
            "/disks/a.vhdx: No space left",
        ),
        (
            PermissionError(errno.EACCES, "Denied", "/t"),
            "file-not-accessible",
            1,
            "/t: Denied",
        ),
    ],
)
def test_each_failure_names_the_file_and_a_remedy(
    error: Exception, code: str, exit_code: int, cause: str
) -> None:
    with pytest.raises(CommandError) as raised, disk_errors(DISK):
        raise error

    assert (raised.value.code, raised.value.exit_code, raised.value.cause) == (
        code,
        exit_code,
        cause,
    )
    assert raised.value.remedy
