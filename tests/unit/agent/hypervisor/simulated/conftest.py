"""Fixtures of the simulated hypervisor's tests."""

from pathlib import Path

import pytest

from tests.support.simulated_host import Bed, make_bed


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return make_bed(tmp_path)
