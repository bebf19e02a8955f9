"""A kept view is found by its very instant."""

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

from replikera.lab.kept_views import find_kept_view, hold, kept_views
from replikera.system.files import SystemFiles

FILES = SystemFiles()
INSTANT = datetime.fromisoformat("2026-01-02T03:04:05.678901+00:00")


def keep(root: Path, machine: str, view: str, taken_at: str) -> Path:
    folder = root / "kept-views" / machine / view
    folder.mkdir(parents=True)
    (folder / "view.json").write_text(json.dumps({"view_id": view, "taken_at": taken_at}))
    return folder


def test_the_view_of_an_instant_is_found_among_others(tmp_path: Path) -> None:
    keep(tmp_path, "web01", "first", "2026-01-02T03:04:05.678900Z")
    second = keep(tmp_path, "web01", "second", "2026-01-02T03:04:05.678901Z")
    found = find_kept_view(FILES, tmp_path, INSTANT)
    assert found is not None
    assert found.disk("d1") == second / "d1.vhdx"


def test_a_view_that_has_not_ended_is_not_there_yet(tmp_path: Path) -> None:
    keep(tmp_path, "web01", "first", INSTANT.isoformat())
    assert find_kept_view(FILES, tmp_path, INSTANT + timedelta(microseconds=1)) is None
    assert find_kept_view(FILES, tmp_path / "nothing", INSTANT) is None


def test_a_held_view_stays_when_the_host_removes_its_own(tmp_path: Path) -> None:
    folder = keep(tmp_path, "web01", "first", INSTANT.isoformat())
    (folder / "d1.vhdx").write_bytes(b"disk")
    view = find_kept_view(FILES, tmp_path, INSTANT)
    assert view is not None
    held = hold(FILES, view, tmp_path / "held" / "first")
    shutil.rmtree(folder)
    assert held.taken_at == INSTANT
    assert held.disk("d1").read_bytes() == b"disk"


def test_a_folder_without_its_description_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "kept-views" / "web01" / "half").mkdir(parents=True)
    keep(tmp_path, "db01", "whole", INSTANT.isoformat())
    assert [view.folder.name for view in kept_views(FILES, tmp_path)] == ["whole"]
