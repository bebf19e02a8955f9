"""How a source compresses what it sends."""

from enum import StrEnum


class Compression(StrEnum):
    """A choice of a policy. `adaptive` compresses only while the network is the limit, and only what gains by it."""

    OFF = "off"
    ADAPTIVE = "adaptive"
    LZ4 = "lz4"
    ZSTD = "zstd"
