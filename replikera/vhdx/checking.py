"""Check a file without using it as a disk: everything that is wrong with it, not the first thing alone.

Nothing is written, and no damage raises: what cannot be known because of it is None in the report. The last word is
that of the reader itself, so a file without problems opens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from replikera.ports.files import File, Files
from replikera.vhdx import layout
from replikera.vhdx.errors import DAMAGED, VhdxError
from replikera.vhdx.headers import Header, Headers, decode_header
from replikera.vhdx.image import ImageKind
from replikera.vhdx.log import Log
from replikera.vhdx.metadata import Metadata, read_metadata
from replikera.vhdx.opening import open_path
from replikera.vhdx.parents import Parents, check_linkage, parents_in
from replikera.vhdx.regions import (
    Region,
    RegionTable,
    check_disjoint,
    check_inside,
    read_region_table,
)
from replikera.vhdx.replayed_file import ReplayedFile
from replikera.vhdx.table_check import TableSurvey, survey_table

T = TypeVar("T")

_REPLAY = (
    "A replay would mend it: attach and detach the disk, or start and shut down its machine."
    " Reading it takes the log into account."
)
_SPARE = "The file still reads right; convert it (Convert-VHD) to have two good copies again."
_UNREADABLE = "Let this user read the file, or mend its volume."


class CopyState(StrEnum):
    """What one of the two copies of a structure is: the one that counts, a spare one, or damaged."""

    CURRENT = "current"
    VALID = "valid"
    INVALID = "invalid"


class LogState(StrEnum):
    """Whether the file needs its log (LogGuid is not zero), and whether the log has what it needs."""

    EMPTY = "empty"
    DIRTY = "dirty"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the file at `path`, which may be a parent of the one that was checked."""

    path: Path
    what: str
    remedy: str
    is_mended_by_replay: bool = False


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found; None where damage hides it.

    `headers` and `region_tables` are the states of the two copies, `parents` the files above it as far as they were
    found, the nearest first.
    """

    path: Path
    file_size: int
    problems: tuple[Problem, ...]
    headers: tuple[CopyState, ...]
    region_tables: tuple[CopyState, ...]
    log: LogState | None
    data_write_id: UUID | None
    metadata: Metadata | None
    survey: TableSurvey | None
    parents: tuple[Path, ...]

    @property
    def kind(self) -> ImageKind | None:
        """Return whether it is fixed, dynamic or differencing."""
        if self.metadata is None:
            return None
        if self.metadata.has_parent:
            return ImageKind.DIFFERENCING
        is_fixed = self.metadata.leaves_blocks_allocated
        return ImageKind.FIXED if is_fixed else ImageKind.DYNAMIC

    @property
    def size(self) -> int | None:
        """Return the bytes of the disk."""
        return None if self.metadata is None else self.metadata.disk_size

    @property
    def is_log_dirty(self) -> bool:
        """Tell whether the file needs its log."""
        return self.log in {LogState.DIRTY, LogState.DAMAGED}

    @property
    def would_replay_mend(self) -> bool:
        """Tell whether there are problems, and a replay of the log is all that it takes."""
        return bool(self.problems) and all(each.is_mended_by_replay for each in self.problems)

    @property
    def leaked(self) -> int | None:
        """Return the bytes of the file that no region, log, block or bitmap uses."""
        return None if self.survey is None else self.survey.unused

    @property
    def allocated(self) -> int | None:
        """Return the bytes of the payload blocks that have a place in the file."""
        if self.survey is None or self.metadata is None:
            return None
        return self.survey.block_count * self.metadata.block_size


def check(files: Files, path: Path) -> CheckReport:
    """Check a file and the parents above it. Raises `OSError` where the file itself cannot be read."""
    examination = _Examination(path)
    examination.examine(files)
    parents, file = parents_in(files), examination
    while (parent := examination.above(files, parents, file)) is not None:
        parents, file = parents.over(file.path), parent
    examination.note(lambda: open_path(files, path).close())
    return examination.report()


class _Examination:
    """Looks at one file, step by step, and keeps what each step finds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file_size = 0
        self._problems: list[Problem] = []
        self._headers: tuple[CopyState, ...] = ()
        self._region_tables: tuple[CopyState, ...] = ()
        self._log: LogState | None = None
        self._data_write_id: UUID | None = None
        self._metadata: Metadata | None = None
        self._survey: TableSurvey | None = None
        self._parents: list[Path] = []

    def report(self) -> CheckReport:
        return CheckReport(
            path=self.path,
            file_size=self._file_size,
            problems=tuple(self._problems),
            headers=self._headers,
            region_tables=self._region_tables,
            log=self._log,
            data_write_id=self._data_write_id,
            metadata=self._metadata,
            survey=self._survey,
            parents=tuple(self._parents),
        )

    def examine(self, files: Files) -> None:
        """Look at the file alone. Raises `OSError`."""
        with files.open_read(self.path) as file:
            self._file_size = file.size()
            signature = file.read(len(layout.FILE_TYPE_SIGNATURE), 0)
            if signature == layout.FILE_TYPE_SIGNATURE:  # for others the reader has the words
                self._examine_structures(file)

    def above(self, files: Files, parents: Parents, child: "_Examination") -> "_Examination | None":
        """Look at the parent of a file of the chain; None where the chain ends, or is broken."""
        metadata = child.report().metadata
        locator = None if metadata is None else metadata.parent
        if locator is None:
            return None
        path = self.note(lambda: parents.find(child.path, locator))
        if path is None:
            return None
        self._parents.append(path)
        parent = _Examination(path)
        self.note(lambda: parent.examine(files))
        found = parent.report()
        for problem in found.problems:
            self._add(problem)
        identity = found.data_write_id
        if identity is not None:
            self.note(lambda: check_linkage(child.path, locator, path, identity))
        return parent

    def note(self, step: Callable[[], T]) -> T | None:
        """Return what the step returns; where it fails, keep why, once, and return None."""
        try:
            return self._judge(step)
        except OSError as error:
            path = Path(error.filename) if isinstance(error.filename, str) else self.path
            self._add(Problem(path, f"it cannot be read: {error.strerror}", _UNREADABLE))
            return None

    def _judge(self, step: Callable[[], T]) -> T | None:
        """Do as `note`, but let errors of the operating system pass: they say nothing of the content."""
        try:
            return step()
        except VhdxError as error:
            self._add(Problem(error.path, error.problem, error.remedy))
            return None

    def _add(self, problem: Problem) -> None:
        if problem not in self._problems:
            self._problems.append(problem)

    def _examine_structures(self, file: File) -> None:
        self._headers = _header_states(file)
        headers = self._judge(lambda: Headers.read(file))
        if headers is None:
            return
        header = headers.current
        self._data_write_id = header.data_write_id
        if header.log_id == layout.NIL:
            self._log = LogState.EMPTY
        else:
            file = self._replayed(file, header)
        known = len(self._problems)
        self._examine_tables(file, header)
        if self._log is LogState.DAMAGED:
            # Without its newest changes the rest is known to be wrong, which has been said.
            del self._problems[known:]

    def _replayed(self, file: File, header: Header) -> File:
        """Return the file as it will be once its log is replayed."""
        replayed = self._judge(lambda: ReplayedFile(file, Log(file, header)))
        if replayed is None:
            self._log = LogState.DAMAGED
            return file
        self._log = LogState.DIRTY
        what = "its log is not empty: the newest changes of its tables are only there"
        self._add(Problem(self.path, what, _REPLAY, is_mended_by_replay=True))
        return replayed

    def _examine_tables(self, file: File, header: Header) -> None:
        copies = [file.read(layout.REGION_TABLE_SIZE, at) for at in layout.REGION_TABLE_OFFSETS]
        self._region_tables = _region_table_states(copies)
        table = self._judge(lambda: read_region_table(file))
        if table is None:
            return
        self._examine_copies(copies)
        reserved = self._judge(lambda: _reserved(file, header, table))
        metadata = self._judge(lambda: read_metadata(file, table.metadata))
        self._metadata = metadata
        if reserved is None or metadata is None:
            return
        self._survey = self._judge(lambda: survey_table(file, table.bat, metadata, reserved))
        for chunk in self._survey.chunks_without_bitmap if self._survey is not None else ():
            what = f"chunk {chunk} has partially present blocks, and no sector bitmap"
            self._add(Problem(self.path, what, DAMAGED))

    def _examine_copies(self, copies: list[bytes]) -> None:
        names = zip(("first", "second"), self._region_tables, strict=True)
        for name, state in names:
            if state is CopyState.INVALID:
                self._add(Problem(self.path, f"the {name} region table is damaged", _SPARE))
        if CopyState.INVALID not in self._region_tables and copies[0] != copies[1]:
            self._add(Problem(self.path, "the two region tables differ", _SPARE))


def _header_states(file: File) -> tuple[CopyState, ...]:
    found = [
        decode_header(file.read(layout.HEADER_SIZE, offset)) for offset in layout.HEADER_OFFSETS
    ]
    newest = max((header.sequence_number for header in found if header is not None), default=None)
    states: list[CopyState] = []
    for header in found:
        if header is None:
            states.append(CopyState.INVALID)
        elif header.sequence_number == newest and CopyState.CURRENT not in states:
            states.append(CopyState.CURRENT)
        else:
            states.append(CopyState.VALID)
    return tuple(states)


def _region_table_states(copies: list[bytes]) -> tuple[CopyState, ...]:
    """Return the states: of two sound tables the first counts."""
    sound = [
        len(copy) == layout.REGION_TABLE_SIZE
        and layout.is_sound(copy, layout.REGION_TABLE_SIGNATURE)
        for copy in copies
    ]
    return tuple(
        CopyState.INVALID if not ok else CopyState.VALID if any(sound[:at]) else CopyState.CURRENT
        for at, ok in enumerate(sound)
    )


def _reserved(file: File, header: Header, table: RegionTable) -> list[Region]:
    """Return every range that no block may touch. Raises `VhdxError` where two share bytes."""
    regions = [table.bat, table.metadata, *table.others]
    if header.log_length:
        log = Region("the log", header.log_offset, header.log_length)
        check_inside(file, log)
        regions.append(log)
    check_disjoint(file, regions)
    return regions
