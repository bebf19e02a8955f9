"""What the tests of VHDX files share."""

import random
import uuid

import pytest


class SeededRandomness:
    """The same values in every run."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uuid(self) -> str:
        return str(uuid.UUID(bytes=self._random.randbytes(16), version=4))

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


@pytest.fixture
def randomness() -> SeededRandomness:
    return SeededRandomness(1)
