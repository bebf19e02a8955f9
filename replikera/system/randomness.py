"""The machine's randomness."""

import secrets
import uuid
from random import SystemRandom


class SystemRandomness:
    """The operating system's generator."""

    def __init__(self) -> None:
        self._random = SystemRandom()

    def bytes(self, count: int) -> bytes:
        """Return `count` bytes fit for keys."""
        return secrets.token_bytes(count)

    def uuid(self) -> str:
        """Return a new random UUID."""
        return str(uuid.uuid4())

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        return self._random.uniform(low, high)
