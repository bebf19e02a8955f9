from pathlib import Path

import pytest

from agent.control.run import Run, RunCountError, begin_run
from tests.support.seeded_randomness import SeededRandomness
from tests.unit.agent.fakes import Fuse, FusedFiles, Killed


def begun(path: Path, files: FusedFiles | None = None, seed: int = 1) -> Run:
    return begin_run(files or FusedFiles(), path, SeededRandomness(seed))


def test_every_run_counts_one_more_and_has_an_id_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "starts.json"
    runs = [begun(path, seed=seed) for seed in (1, 2, 3)]
    assert [run.start_count for run in runs] == [1, 2, 3]
    assert len({run.run_id for run in runs}) == 3


def test_kill_at_any_write_never_gives_a_count_twice(tmp_path: Path) -> None:
    counting = FusedFiles()
    begun(tmp_path / "counted.json", counting)
    for moment in range(1, counting.fuse.ticks + 1):
        path = tmp_path / f"{moment}.json"
        begun(path)
        with pytest.raises(Killed):
            begun(path, FusedFiles(Fuse(moment)))
        # The killed run said nothing to anybody: its count may be given again.
        assert begun(path).start_count in {2, 3}
        assert begun(path).start_count > 2


@pytest.mark.parametrize(
    "content", ["", "{", "{}", '{"start_count": "1"}', '{"start_count": -1}', '{"x": 1}']
)
def test_damaged_file_is_named_with_its_remedy(tmp_path: Path, content: str) -> None:
    path = tmp_path / "starts.json"
    path.write_text(content)
    with pytest.raises(RunCountError, match=r"starts\.json.*Remove the file.*host readmit"):
        begun(path)
    assert path.read_text() == content
