"""A view is found by the instant of its point, and held when nobody else does."""

import json
import shutil
from pathlib import Path

import pytest

from replikera.lab.errors import LabError
from replikera.lab.folder import claim_folder
from replikera.lab.line import Line
from replikera.lab.source_views import SourceViews, capture_of
from tests.support.lab import START, LabBench, make_bench

POINT = {"sequence": 3, "capture_ended_at": START.isoformat().replace("+00:00", "Z")}


def set_up(root: Path) -> tuple[LabBench, SourceViews]:
    bench = make_bench()
    line = Line(bench.machine, claim_folder(bench.machine.files, root), bench.narrator)
    folder = root / "primary/hypervisor/kept-views/web01/view-3"
    folder.mkdir(parents=True)
    (folder / "view.json").write_text(json.dumps({"taken_at": START.isoformat()}))
    (folder / "d1.vhdx").write_bytes(b"x")
    return bench, SourceViews(bench.machine, line)


async def test_a_view_that_is_held_outlives_the_source(tmp_path: Path) -> None:
    _, views = set_up(tmp_path)
    await views.hold(POINT)
    shutil.rmtree(tmp_path / "primary/hypervisor/kept-views")
    view = await views.of(capture_of(POINT))
    assert view.disk("d1").read_bytes() == b"x"


async def test_a_view_that_never_ends_is_not_waited_for_forever(tmp_path: Path) -> None:
    _, views = set_up(tmp_path)
    with pytest.raises(LabError, match="the end of the source's view of 2026"):
        await views.of(START.replace(year=2026, microsecond=9))
