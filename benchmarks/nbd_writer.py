"""A bitmap-driven copy: write changed extents of a raw image to an NBD server, 64 requests in flight, then flush.

`/usr/bin/python3 nbd_writer.py IMAGE EXTENTS URI`; EXTENTS has a line "offset length" for each extent. It runs under
the system's interpreter, for which Debian's python3-libnbd is made, and so imports nothing of this project.
"""

import os
import sys
from pathlib import Path

import nbd  # type: ignore[import-not-found]

_IN_FLIGHT = 64
_MAX_WRITE = 1 << 20


def main(image: str, extents: str, uri: str) -> None:
    """Copy all extents and return when the server has flushed them."""
    handle = nbd.NBD()
    handle.set_uri_allow_local_file(True)
    handle.connect_uri(uri)
    source = os.open(image, os.O_RDONLY)
    failures: list[int] = []
    with Path(extents).open(encoding="ascii") as lines:
        for line in lines:
            offset, length = map(int, line.split())
            for start in range(offset, offset + length, _MAX_WRITE):
                size = min(_MAX_WRITE, offset + length - start)
                _wait(handle, _IN_FLIGHT - 1)
                buffer = nbd.Buffer.from_bytearray(bytearray(os.pread(source, size, start)))
                handle.aio_pwrite(buffer, start, completion=lambda error: _note(failures, error))
    _wait(handle, 0)
    if failures:
        raise OSError(failures[0], os.strerror(failures[0]))
    handle.flush()
    handle.shutdown()


def _note(failures: list[int], error: int) -> int:
    if error:
        failures.append(error)
    return 1


def _wait(handle: "nbd.NBD", most: int) -> None:
    while handle.aio_in_flight() > most:
        handle.poll(-1)


if __name__ == "__main__":
    main(*sys.argv[1:])
