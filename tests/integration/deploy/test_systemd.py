"""The units before systemd's own eyes, and the daemons as the units run them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.control.membership import Membership, MembershipFolder
from coordinator.main import app
from replikera.identity import Role
from replikera.system.files import SystemFiles
from replikera.system.loopback import free_ports
from replikera.system.randomness import SystemRandomness
from tests.support import oracles
from tests.support.authority import VAULT_ID, make_authority
from tests.support.notify_socket import NotifySocketBed
from tests.support.systemd_units import (
    CONFINEMENT_FAILED,
    PACKAGE,
    UNITS,
    analyze,
    confinement,
    read_unit,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux' own")

PROGRAMS = Path(sys.executable).parent
SECONDS = 60
NAMES = ("replikera-coordinator", "replikera-agent")
WORST_EXPOSURE = 1.5
"""On systemd's scale from 0 to 10; 1.1 is what is left to a service on the network that keeps its own files."""


@pytest.fixture
def program() -> str:
    found = analyze()
    if found is None:
        oracles.missing("systemd-analyze", PACKAGE)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_systemd_finds_nothing_wrong(program: str, tmp_path: Path, name: str) -> None:
    # What the unit runs is installed elsewhere here.
    text = (UNITS / f"{name}.service").read_text().replace("/opt/replikera/bin", str(PROGRAMS))
    unit = tmp_path / f"{name}.service"
    unit.write_text(text)
    done = run(program, "verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_systemd_calls_the_exposure_low(program: str, name: str) -> None:
    threshold = f"--threshold={int(WORST_EXPOSURE * 10)}"
    unit = UNITS / f"{name}.service"
    done = run(program, "security", "--offline=true", "--no-pager", threshold, unit)
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level" in done.stdout


def run(*command: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


def new_coordinator(folder: Path) -> list[str]:
    """Make a vault; return how it is run."""
    ports = free_ports(3, SystemRandomness())
    tables = [f'[vault]\nstate_directory = "{folder}/state"']
    for name, port in zip(("enrolment", "session", "api"), ports, strict=True):
        tables.append(f'[{name}]\nlisten = "127.0.0.1:{port}"\naddress = "127.0.0.1:{port}"')
    settings = folder / "settings.toml"
    settings.write_text("\n".join(tables))
    passphrase = folder / "credentials" / "passphrase"
    options = ["--settings", str(settings), "--passphrase-file", str(passphrase)]
    more = ["--name", "home", "--operator", "ann", "--profile", str(folder / "profile")]
    made = CliRunner().invoke(app, ["init", *options, *more])
    assert made.exit_code == 0, made.stderr
    return ["run", *options]


def new_agent(folder: Path) -> list[str]:
    """Make a host that joined a vault which cannot be reached; return how its agent is run."""
    (port,) = free_ports(1, SystemRandomness())
    settings = folder / "settings.toml"
    settings.write_text(
        f'[agent]\nname = "a-host"\nstate_directory = "{folder}/state"\n'
        f'[replication]\nlisten = "127.0.0.1:{port}"\naddress = "127.0.0.1:{port}"\n'
        f'[hypervisor]\nkind = "simulated"\n[hypervisor.simulated]\nroot = "{folder}/simulated"\n'
    )
    made = run(
        PROGRAMS / "replikera-agent",
        "simulate",
        "create-host",
        "--root",
        folder / "simulated",
        "--network",
        "lan",
    )
    assert made.returncode == 0, made.stderr
    membership = Membership(VAULT_ID, "home", "host-1", "127.0.0.1:1", "a")
    credentials = make_authority().issue(Role.HOST, "host-1")
    MembershipFolder(SystemFiles(), folder / "state" / "identity").adopt(
        "join-1", membership, credentials
    )
    return ["run", "--settings", str(settings)]


NEW = {"replikera-coordinator": new_coordinator, "replikera-agent": new_agent}


@contextmanager
def started(
    name: str, arguments: list[str], bed: NotifySocketBed, confine: Callable[[], None] | None
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "NOTIFY_SOCKET": bed.address, "WATCHDOG_USEC": "500000"}
    with subprocess.Popen(
        [PROGRAMS / name, *arguments],
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=confine,  # noqa: PLW1509 - what it does to itself must come before the program
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def hear_until(bed: NotifySocketBed, wanted: str, process: subprocess.Popen[bytes]) -> list[str]:
    """Return what was told before `wanted`."""
    heard: list[str] = []
    while True:
        try:
            message = bed.receive(SECONDS)
        except TimeoutError:
            process.kill()
            pytest.fail(f"heard {heard}, not {wanted}: {process.communicate()[1]!r}")
        if message == wanted:
            return heard
        heard.append(message)


def live_and_stop(name: str, folder: Path, confine: Callable[[], None] | None) -> None:
    arguments = NEW[name](folder)
    with (
        NotifySocketBed.abstract() as bed,
        started(name, arguments, bed, confine) as process,
    ):
        assert set(hear_until(bed, "READY=1", process)) <= {"WATCHDOG=1"}
        for _ in range(3):
            assert bed.receive(SECONDS) == "WATCHDOG=1"
        process.send_signal(signal.SIGTERM)
        assert set(hear_until(bed, "STOPPING=1", process)) <= {"WATCHDOG=1"}
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, errors
        assert set(bed.pending()) <= {"WATCHDOG=1"}


@pytest.mark.parametrize("name", NAMES)
def test_a_daemon_tells_its_service_manager_how_it_is(name: str, tmp_path: Path) -> None:
    live_and_stop(name, tmp_path, None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("program")
def test_a_daemon_lives_with_the_system_calls_and_the_memory_rule_of_its_unit(
    name: str, tmp_path: Path
) -> None:
    live_and_stop(name, tmp_path, confinement_of(name))


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        ("import os; os.setpriority(os.PRIO_PROCESS, 0, 5)", "PermissionError"),
        ("import mmap; mmap.mmap(-1, 4096, prot=7)", "PermissionError"),
        ("print('harmless')", ""),
    ],
)
def test_the_rules_that_the_daemons_live_with_are_in_force(attempt: str, said: str) -> None:
    confine = confinement_of("replikera-agent")
    done = attempted(attempt, confine)
    assert said in done.stderr
    assert (done.returncode == 0) is (said == "")


def confinement_of(name: str) -> Callable[[], None]:
    try:
        confine = confinement(read_unit(UNITS / f"{name}.service"))
    except OSError as error:
        oracles.missing(str(error), "libseccomp2")
    if attempted("pass", confine).returncode in CONFINEMENT_FAILED:
        pytest.skip("this kernel has no such rules: Linux 6.3 has")
    return confine


def attempted(program: str, confine: Callable[[], None]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        preexec_fn=confine,
    )
