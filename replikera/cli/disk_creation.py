"""A new disk in a new file: dynamic, fixed, or over a parent."""

from dataclasses import dataclass
from pathlib import Path

from replikera.cli.errors import InvalidRequestError
from replikera.ports.files import File, Files
from replikera.system.randomness import SystemRandomness
from replikera.vhdx import (
    Image,
    VhdxError,
    create_child,
    create_fixed,
    create_image,
    open_path,
)
from replikera.vhdx.creation import DEFAULT_BLOCK_SIZE

_DEFAULT_SECTOR = 512


@dataclass(frozen=True, slots=True)
class NewDisk:
    """What is asked of a disk, in bytes; None is "not said"."""

    size: int | None
    block_size: int | None
    sector: int | None
    parent: Path | None
    is_fixed: bool


def create_disk(files: Files, path: Path, asked: NewDisk) -> int:
    """Make the disk, durably; return its size. Nothing is left where that fails.

    Raises `InvalidRequestError`, `VhdxError` and `OSError`.
    """
    _check(asked)
    # Absolute, because a child is read from other working folders than this one.
    path = path.absolute()
    file = files.create(path)
    try:
        with _made(files, file, asked) as image:
            size = image.size
    except BaseException as error:
        file.close()
        files.remove(path)
        if isinstance(error, VhdxError) and error.path == path:
            # Nothing but the sizes can be wrong with a new file.
            raise InvalidRequestError("sizes-refused", error.problem, error.remedy) from error
        raise
    files.sync_directory(path.parent)
    return size


def _check(asked: NewDisk) -> None:
    if asked.parent is None and asked.size is None:
        raise InvalidRequestError(
            "sizes-refused", "No size was given", "Give --size, as in --size 10G, or --parent"
        )
    has_own = (asked.size, asked.block_size, asked.sector) != (None, None, None)
    if asked.parent is not None and (asked.is_fixed or has_own):
        raise InvalidRequestError(
            "sizes-refused",
            "A disk has size, blocks and sectors of its parent, and is never fixed",
            "Leave --size, --block-size, --sector and --fixed out beside --parent",
        )


def _made(files: Files, file: File, asked: NewDisk) -> Image:
    if asked.parent is not None:
        return _child(files, file, asked.parent.absolute())
    make = create_fixed if asked.is_fixed else create_image
    return make(
        file,
        size=asked.size or 0,
        block_size=DEFAULT_BLOCK_SIZE if asked.block_size is None else asked.block_size,
        logical_sector_size=_DEFAULT_SECTOR if asked.sector is None else asked.sector,
        randomness=SystemRandomness(),
    )


def _child(files: Files, file: File, parent: Path) -> Image:
    image = open_path(files, parent)
    try:
        return create_child(file, image, parent_path=parent, randomness=SystemRandomness())
    except BaseException:
        image.close()
        raise
