"""The checksum that most structures of a VHDX file carry."""

import google_crc32c


def has_checksum(data: bytes) -> bool:
    """Tell whether bytes 4 to 8 hold the CRC-32C of the whole with those bytes zero (2.2.2, 2.3.1)."""
    if len(data) < 8:
        return False
    expected: int = google_crc32c.value(data[:4] + bytes(4) + data[8:])
    return expected == int.from_bytes(data[4:8], "little")
