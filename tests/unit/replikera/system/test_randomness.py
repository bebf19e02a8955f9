"""The machine's randomness."""

import uuid

from replikera.system.randomness import SystemRandomness


def test_values_have_the_promised_shape_and_differ() -> None:
    randomness = SystemRandomness()
    assert len(randomness.bytes(32)) == 32
    assert randomness.bytes(32) != randomness.bytes(32)
    made = randomness.uuid()
    assert str(uuid.UUID(made)) == made
    assert made != randomness.uuid()
    assert 2 <= randomness.uniform(2, 3) <= 3
