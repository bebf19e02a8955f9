"""SHA-256 of a disk as libvhdi reads it. Run by an interpreter that has pyvhdi: the child first, then its parents."""

import hashlib
import itertools
import sys

import pyvhdi

PIECE = 1 << 20


def main() -> None:
    """Print size and digest."""
    chain = [pyvhdi.file() for _ in sys.argv[1:]]  # a parent must live as long as its child
    for file, path in zip(chain, sys.argv[1:], strict=True):
        file.open(path)
    for child, parent in itertools.pairwise(chain):
        child.set_parent(parent)
    disk = chain[0]
    size = disk.get_media_size()
    found = hashlib.sha256()
    for offset in range(0, size, PIECE):
        found.update(disk.read_buffer_at_offset(min(PIECE, size - offset), offset))
    sys.stdout.write(f"{size} {found.hexdigest()}\n")


if __name__ == "__main__":
    main()
