"""Files of points."""

from pathlib import Path

import pytest

from agent.replica.layout import Layout
from agent.replica.points import PointRecord, read_point, write_point
from replikera.blocks.segment import SegmentFormatError
from tests.support.crash_files import CrashFiles
from tests.support.lineages import LineageBench
from tests.support.segments import Write

LAYOUT = Layout(Path("/"))


@pytest.fixture(scope="module")
def record() -> PointRecord:
    return LineageBench().deliver(Write(0, 0, b"x" * 512))


def test_a_point_comes_back(record: PointRecord) -> None:
    files = CrashFiles()
    files.make_directory(LAYOUT.points)
    write_point(files, LAYOUT, record)
    assert read_point(files, LAYOUT, 1) == record
    assert (record.sequence, record.point_id) == (1, record.point.chain_digest)


def test_a_point_under_another_number_is_refused(record: PointRecord) -> None:
    files = CrashFiles()
    files.make_directory(LAYOUT.points)
    write_point(files, LAYOUT, record)
    files.replace(LAYOUT.point_file(1), LAYOUT.point_file(2))
    with pytest.raises(SegmentFormatError, match="describes point 1"):
        read_point(files, LAYOUT, 2)
    with pytest.raises(FileNotFoundError):
        read_point(files, LAYOUT, 1)
