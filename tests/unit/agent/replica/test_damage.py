"""What is known to be wrong with a base."""

import numpy as np
import pytest

from agent.replica import damage as damage_module
from agent.replica.damage import Damage
from agent.replica.sidecar import GRANULE_BYTES
from tests.support.segments import disks_of

DISKS = disks_of(4096, 8192)


def test_it_is_told_until_the_granules_are_right_again() -> None:
    damage = Damage()
    assert damage.error(DISKS) is None
    damage.forget(1, np.array([1]))
    damage.note(1, np.array([3, 4]))
    error = damage.error(DISKS)
    assert error is not None
    assert (error.code, "disk-1.vhdx" in error.cause) == ("base-damaged", True)
    assert str(3 * GRANULE_BYTES) in error.cause
    damage.forget(0, np.array([3, 4]))
    damage.forget(1, np.array([3, 9]))
    assert damage.error(DISKS) is not None
    damage.forget(1, np.array([4]))
    assert damage.error(DISKS) is None


def test_it_remembers_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage_module, "MAX_NOTED", 2)
    damage = Damage()
    damage.note(0, np.arange(100))
    damage.forget(0, np.array([0, 1]))
    assert damage.error(DISKS) is None
