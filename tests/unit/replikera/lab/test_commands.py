"""`replikera lab` as it is typed."""

import asyncio
import hashlib
import json
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from replikera.cli.invocation import Invocation
from replikera.lab import commands
from replikera.lab.errors import LabError
from replikera.lab.machine import Machine
from replikera.lab.narrator import Narrator
from replikera.lab.run import Options
from tests.support.scripted_vault import write_disk

RUNNER = CliRunner()
GOOD: dict[str, object] = {"succeeded": True}


class Recorded:
    """Stands for the run, and remembers what it was asked."""

    def __init__(self, result: dict[str, object] | LabError | signal.Signals) -> None:
        self.result = result
        self.options: Options | None = None
        self.ended_cleanly = False

    async def __call__(
        self, _machine: Machine, narrator: Narrator, options: Options
    ) -> dict[str, object]:
        self.options = options
        narrator.note("told")
        if isinstance(self.result, LabError):
            raise self.result
        if isinstance(self.result, signal.Signals):
            await self._be_stopped(self.result)
            return GOOD
        return self.result

    async def _be_stopped(self, number: signal.Signals) -> None:
        signal.raise_signal(number)
        try:
            await asyncio.Event().wait()
        finally:
            self.ended_cleanly = True


def run(
    monkeypatch: pytest.MonkeyPatch, recorded: Recorded, *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(commands, "run_lab", recorded)
    result = RUNNER.invoke(commands.app, ["run", *arguments], obj=Invocation())
    return result.exit_code, result.stdout, result.stderr


def test_a_plain_run_uses_a_folder_here_and_ends_everything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    recorded = Recorded(GOOD)
    code, out, err = run(monkeypatch, recorded)
    assert recorded.options == Options(tmp_path / ".replikera-lab")
    assert code == 0
    assert "told" in out
    assert f"lab succeeded; report {tmp_path}/.replikera-lab/report.json" in err
    assert "lab down" not in err


def test_every_option_reaches_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    recorded = Recorded(GOOD)
    options = ("--disk", "a.vhdx", "--disk", "/b.vhdx", "--dir", "x", "--keep", "--no-workload")
    _, _, err = run(monkeypatch, recorded, *options)
    assert recorded.options == Options(
        tmp_path / "x",
        (tmp_path / "a.vhdx", Path("/b.vhdx")),
        has_workload=False,
        stays=True,
    )
    assert f"replikera lab down --dir {tmp_path}/x" in err


def test_for_programs_the_report_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run(monkeypatch, Recorded(GOOD), "-o", "json")
    assert (code, json.loads(out)) == (0, GOOD)
    assert "told" in err


def test_a_run_without_success_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run(monkeypatch, Recorded({"succeeded": False}), "-o", "json")
    assert (code, json.loads(out)) == (1, {"succeeded": False})
    assert "lab FAILED" in err


def test_an_error_names_cause_and_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = run(monkeypatch, Recorded(LabError("it is red", "Paint it green")))
    assert code == 1
    assert "error: it is red.\nremedy: Paint it green.\n" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_run_end_what_it_started(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    recorded = Recorded(number)
    code, _, _ = run(monkeypatch, recorded)
    assert code == 130
    assert recorded.ended_cleanly


def test_down_needs_a_lab(tmp_path: Path) -> None:
    result = RUNNER.invoke(commands.app, ["down", "--dir", str(tmp_path)], obj=Invocation())
    assert result.exit_code == 1
    assert "holds no lab" in result.stderr


def test_a_disk_is_digested(tmp_path: Path) -> None:
    path = tmp_path / "a.vhdx"
    write_disk(path, b"x")
    expected = hashlib.sha256(bytes(1 << 20) + b"x" * 512 + bytes((3 << 20) - 512)).hexdigest()
    plain = RUNNER.invoke(commands.app, ["digest", str(path)], obj=Invocation())
    assert plain.stdout == expected + "\n"
    for_programs = RUNNER.invoke(
        commands.app, ["digest", str(path), "-o", "json"], obj=Invocation()
    )
    assert json.loads(for_programs.stdout) == {"file": str(path), "sha256": expected}


@pytest.mark.parametrize(
    ("content", "problem"), [(b"no disk", "signature"), (None, "No such file")]
)
def test_what_is_no_disk_has_no_digest(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "a.vhdx"
    if content is not None:
        path.write_bytes(content)
    result = RUNNER.invoke(commands.app, ["digest", str(path)], obj=Invocation())
    assert result.exit_code == 1
    assert problem in result.stderr
    assert str(path) in result.stderr
