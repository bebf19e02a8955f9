"""A program in the foreground shows its messages and gives its output."""

import sys

import pytest

from replikera.system.terminal import SystemTerminal

TERMINAL = SystemTerminal()


async def test_output_is_captured_and_messages_are_shown(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = "import os, sys; print(os.environ['MARK']); sys.stderr.write('seen'); sys.exit(4)"
    arguments = [sys.executable, "-c", code]
    done = await TERMINAL.run(arguments, environment={"MARK": "here"}, timeout=30)
    assert (done.exit_code, done.output, done.errors) == (4, b"here\n", b"")
    assert capfd.readouterr().err == "seen"


async def test_standard_input_is_empty() -> None:
    code = "import sys; print(len(sys.stdin.read()))"
    done = await TERMINAL.run([sys.executable, "-c", code], environment={}, timeout=30)
    assert done.output == b"0\n"


async def test_a_program_that_takes_too_long_is_killed() -> None:
    arguments = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(TimeoutError):
        await TERMINAL.run(arguments, environment={}, timeout=0.2)
