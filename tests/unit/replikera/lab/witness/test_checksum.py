"""A structure is believed only with its own checksum."""

from replikera.lab.witness.checksum import has_checksum
from tests.unit.replikera.lab.witness.foreign import checked


def test_the_checksum_is_over_the_whole_with_its_own_bytes_zero() -> None:
    data = checked(b"head" + bytes(4) + b"content")
    assert has_checksum(data)
    assert not has_checksum(data[:-1] + b"x")
    assert not has_checksum(data[:4] + bytes(4) + data[8:])
    assert not has_checksum(data[:7])
