"""Errors of storage in words for an operator."""

import errno
from pathlib import Path

import pytest

from agent.replica.errors import ReplicaError, damaged, storage_errors
from agent.replica.fence import SyncFailedError
from replikera.blocks.segment import SegmentFormatError
from replikera.vhdx import VhdxError

FOLDER = Path("/replicas/x")


@pytest.mark.parametrize(
    ("raised", "code", "part"),
    [
        (OSError(errno.ENOSPC, "full"), "disk-full", "/replicas/x"),
        (OSError(errno.EDQUOT, "quota"), "disk-full", "/replicas/x"),
        (OSError(errno.EIO, "bad", "/replicas/x/f"), "storage-error", "/replicas/x/f"),
        (FileNotFoundError(errno.ENOENT, "none"), "storage-error", "none"),
        (SyncFailedError(Path("/replicas/x/f"), "gone"), "storage-failed", "/replicas/x/f"),
        (SegmentFormatError("torn"), "replica-damaged", "torn"),
        (VhdxError(Path("/d.vhdx"), "no", "do"), "replica-damaged", "/d.vhdx"),
    ],
)
def test_what_the_storage_raises_has_a_code_and_a_remedy(
    raised: Exception, code: str, part: str
) -> None:
    with pytest.raises(ReplicaError) as error, storage_errors(FOLDER):
        raise raised
    assert error.value.code == code
    assert part in error.value.cause
    assert len(error.value.remedy) > 10
    assert error.value.is_diverged == (code == "replica-damaged")
    assert str(error.value) == f"{error.value.cause} {error.value.remedy}"


def test_refusals_and_foreign_errors_pass() -> None:
    refusal = damaged("x", "y")
    with pytest.raises(ReplicaError) as error, storage_errors(FOLDER):
        raise refusal
    assert error.value is refusal
    with pytest.raises(KeyError), storage_errors(FOLDER):
        raise KeyError
