"""Commands run as a user runs them, and their failures end the lab."""

from pathlib import Path

import pytest

from replikera.lab.command_line import CommandLine
from replikera.lab.errors import LabError
from replikera.ports.processes import Completed
from tests.support.lab import LabBench, make_bench

PROFILE = Path("/lab/profile")


def commands(bench: LabBench) -> CommandLine:
    return CommandLine(bench.machine, bench.narrator, PROFILE)


async def test_a_command_is_shown_with_its_output_and_finds_the_profile() -> None:
    bench = make_bench()
    bench.programs.answers["replikera vm list"] = Completed(0, b"web01  primary-host\n", b"")
    await commands(bench).run("replikera", "vm", "list")
    assert "$ replikera vm list\nweb01  primary-host\n" in bench.text.getvalue()
    assert bench.programs.environments == [{"REPLIKERA_PROFILE": str(PROFILE)}]


async def test_a_secret_goes_to_a_file_and_not_to_the_screen(tmp_path: Path) -> None:
    bench = make_bench()
    bench.programs.answers["replikera host invite"] = Completed(0, b"rk1/secret\n", b"")
    await commands(bench).save(tmp_path / "line", "replikera", "host", "invite", "--site", "a")
    assert (tmp_path / "line").read_bytes() == b"rk1/secret\n"
    assert (tmp_path / "line").stat().st_mode & 0o077 == 0
    assert "rk1/secret" not in bench.text.getvalue()


async def test_a_question_is_asked_silently_in_json() -> None:
    bench = make_bench()
    bench.programs.answer("replikera host list", {"items": []})
    assert await commands(bench).ask("replikera", "host", "list") == {"items": []}
    assert bench.programs.ran == ["replikera host list -o json"]
    assert bench.text.getvalue() == ""


async def test_a_command_whose_answer_counts_is_shown_as_it_runs() -> None:
    bench = make_bench()
    bench.programs.answer("replikera point digest", {"id": "j"})
    answer = await commands(bench).answer("replikera", "point", "digest", "web01", "7")
    assert answer == {"id": "j"}
    assert "$ replikera point digest web01 7 -o json\n" in bench.text.getvalue()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Completed(5, b"", b""), "`replikera status` ended with exit code 5"),
        (TimeoutError(), "did not end within"),
        (FileNotFoundError(), "there is no program replikera"),
    ],
)
async def test_a_command_that_fails_ends_the_lab(
    answer: Completed | Exception, message: str
) -> None:
    bench = make_bench()
    bench.programs.answers["replikera status"] = answer
    with pytest.raises(LabError, match=message):
        await commands(bench).run("replikera", "status")
