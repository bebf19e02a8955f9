"""Whatever goes wrong in a test failover names its remedy."""

import errno
from dataclasses import replace

import pytest

from agent.failover.failures import no_healthy_guest, translate
from agent.failover.outcome import RehearsalError
from agent.hypervisor.interface import GuestHealth, HypervisorError
from agent.replica.errors import ReplicaError
from tests.unit.agent.failover.test_rehearsal import REQUEST
from tests.unit.agent.fakes import SILENT


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RehearsalError("mine", "It failed.", "Wait."), "mine"),
        (HypervisorError("bad-disk", "The disk is bad.", "Replace it."), "bad-disk"),
        (ReplicaError("base-damaged", "It is damaged.", "Resync."), "base-damaged"),
        (OSError(errno.ENOSPC, "no space", "/x"), "disk-full"),
        (OSError(errno.EDQUOT, "no quota", "/x"), "disk-full"),
        (OSError(errno.EIO, "input/output error", "/x"), "storage-error"),
    ],
)
def test_every_failure_keeps_its_code(
    error: RehearsalError | HypervisorError | ReplicaError | OSError, code: str
) -> None:
    told = translate(error)
    assert told.code == code
    assert told.remedy.endswith(".")


def test_a_silent_guest_and_an_ill_one_are_told_apart() -> None:
    ill = GuestHealth(True, False, "record 3 is damaged", 2)
    request = replace(REQUEST, machine_name="db01 - test")
    assert no_healthy_guest(request, SILENT).code == "guest-not-answering"
    told = no_healthy_guest(request, ill)
    assert (told.code, "record 3 is damaged" in told.cause) == ("guest-not-healthy", True)
    assert "db01 - test" in told.cause
