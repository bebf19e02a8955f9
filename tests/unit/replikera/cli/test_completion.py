"""The shells ask the program itself, in a child process; a noun is loaded only when its verbs are asked for."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from replikera.cli.main import _NOUNS

PROGRAM = Path(sys.executable).parent / "replikera"


def run(
    *arguments: str | Path, environment: Mapping[str, str | Path] | None = None
) -> subprocess.CompletedProcess[str]:
    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    told = {key: str(value) for key, value in (environment or {}).items()}
    return subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
        env={**os.environ, "PATH": path, **told},
    )


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "script"
    path.write_text(run(PROGRAM, environment={"_REPLIKERA_COMPLETE": "source_bash"}).stdout)
    return path


def asked_by_bash(script: Path, *words: str) -> list[str]:
    """Return what a real bash offers after the words, with the script that the program installs."""
    line = " ".join(shlex.quote(word) for word in words)
    ask = (
        f"source {script}; COMP_WORDS=(replikera {line}); COMP_CWORD={len(words)}; "
        "_replikera_completion replikera; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    return run("bash", "--norc", "-c", ask).stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("",), list(_NOUNS)),
        (("ho",), ["host"]),
        (("vault", ""), ["show", "backup", "verify", "restore", "reconcile"]),
        (("--profile", "/p", "-o", "json", "operator", "re"), ["revoke", "renew"]),
        (("operator", "create", "ben", "--role", "r"), ["reader"]),
        (("vm", "list", "--w"), ["--watch"]),
        (("-o", ""), ["table", "json", "yaml"]),
        (("lab", "d"), ["down", "digest"]),
    ],
)
def test_bash_completes_nouns_verbs_options_and_choices(
    script: Path, words: tuple[str, ...], offered: list[str]
) -> None:
    assert asked_by_bash(script, *words) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_complete_the_verbs_of_a_noun(shell: str) -> None:
    asked = {
        "_REPLIKERA_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": "replikera key ",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    offered = run(PROGRAM, environment=asked).stdout
    assert "list" in offered
    assert "revoke" in offered
    script = run(PROGRAM, environment={"_REPLIKERA_COMPLETE": f"source_{shell}"}).stdout
    assert f"complete_{shell}" in script


def test_the_script_is_shown_and_installed_for_the_shell_that_asks(tmp_path: Path) -> None:
    shown = run("bash", "--norc", "-c", "replikera --show-completion; true")
    assert "complete -o default -F _replikera_completion replikera" in shown.stdout
    home = {"HOME": tmp_path}
    run("bash", "--norc", "-c", "replikera --install-completion; true", environment=home)
    installed = tmp_path / ".bash_completions" / "replikera.sh"
    assert installed.read_text().strip() == shown.stdout.strip()
    assert str(installed) in (tmp_path / ".bashrc").read_text()
