"""Many host sessions on one coordinator, beside a bare grpc.aio echo server in the same run.

Every simulated agent has its own certificate of the vault, its own channel and its own stream; two client processes
hold them. The coordinator is the real daemon with all hosts registered in its database; the echo server stands behind
the same listener options. Both are measured as processes: at rest with a heartbeat of every agent each five seconds,
and in a storm in which all sessions are cut and redialled at once. On two cores the server has one and the clients the
other; "others" is what else the machine did meanwhile, in percent of a core.

`python benchmarks/sessions.py [--sessions 200,1000,2000] [--seconds 25] [--dir FOLDER]`
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measured import process_state
from benchmarks.session_crowd import Crowd
from benchmarks.session_vault import VaultFolder, lay_out, make_vault
from coordinator.daemon import SESSION_LIMITS

CLIENTS = 2
FILES_PER_SESSION = 4
READY_S = 60.0
STOP_S = 30.0
HERE = Path(__file__).resolve().parent
MIB = 1 << 20
_LISTENING = "0A"  # in /proc/net/tcp


@dataclass(frozen=True)
class Row:
    """What one server did with one number of sessions."""

    server: str
    sessions: int
    rest_cpu: float
    others_cpu: float
    round_trips_ms: list[float]
    resident_bytes: int
    bytes_a_session: float
    storm_s: float
    storm_cpu_s: float
    storm_client_cpu_s: float
    redials: int

    def quantile(self, share: float) -> float:
        return sorted(self.round_trips_ms)[int(share * (len(self.round_trips_ms) - 1))]


class Clients:
    """The processes that hold the sessions."""

    def __init__(self, crowd: Crowd, sessions: int, port: int, folder: Path) -> None:
        self._processes = []
        for number in range(CLIENTS):
            path = folder / f"crowd-{number}.json"
            crowd.part(number, CLIENTS, sessions).save(path)
            self._processes.append(_client(path, port))

    def do(self, **order: object) -> list[dict[str, object]]:
        """Give all the same order at the same time and return their answers."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
        return [_answer(process) for process in self._processes]

    def cpu_s(self) -> float:
        return sum(process_state(process.pid).cpu_s for process in self._processes)

    def end(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._processes:
            _end(process)


def _client(crowd: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(HERE / "session_clients.py"), str(crowd), str(port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    _pin(process.pid, -1)
    return process


def _answer(process: subprocess.Popen[bytes]) -> dict[str, object]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"client {process.pid} ended with {process.wait()}")
    answer: dict[str, object] = json.loads(line)
    return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _pin(process_id: int, core: int) -> None:
    """Give the server and the clients a core each, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(process_id, {cores[core]})


@contextmanager
def server(arguments: Sequence[str], log: Path, port: int) -> Iterator[int]:
    """Run a server until the block is left; gives its process id once it accepts connections."""
    with log.open("ab") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output)
        try:
            _pin(process.pid, 0)
            _wait_until_listening(process, port, log)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            _end(process)


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while not _is_listening(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not come up; see {log}")
        time.sleep(0.05)


def _is_listening(port: int) -> bool:
    # Without a connection, which the server would count; gRPC listens on a mapped address of IPv6.
    tables = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
    fields = (line.split() for table in tables for line in table.read_text().splitlines()[1:])
    return any(each[1].endswith(f":{port:04X}") and each[3] == _LISTENING for each in fields)


def measure(
    name: str, server_id: int, clients: Clients, sessions: int, seconds: float, *, empty: int
) -> Row:
    """Connect everybody, watch them rest, cut and redial them."""
    clients.do(do="connect")
    before, busy, own = process_state(server_id).cpu_s, _busy_s(), clients.cpu_s()
    begun = time.monotonic()
    answers = clients.do(do="rest", seconds=seconds)
    wall = time.monotonic() - begun
    rested = process_state(server_id)
    server_s, clients_s = rested.cpu_s - before, clients.cpu_s() - own
    others = _busy_s() - busy - server_s - clients_s
    trips: list[float] = []
    for answer in answers:
        found = answer["round_trips"]
        assert isinstance(found, list)
        trips += [1e3 * float(trip) for trip in found]
    own = clients.cpu_s()
    storm = clients.do(do="storm")
    return Row(
        server=name,
        sessions=sessions,
        rest_cpu=100 * server_s / wall,
        others_cpu=100 * others / wall,
        round_trips_ms=trips,
        resident_bytes=rested.resident_bytes,
        bytes_a_session=(rested.resident_bytes - empty) / sessions,
        storm_s=max(float(str(answer["seconds"])) for answer in storm),
        storm_cpu_s=process_state(server_id).cpu_s - rested.cpu_s,
        storm_client_cpu_s=clients.cpu_s() - own,
        redials=sum(int(str(answer["redials"])) for answer in storm),
    )


def _busy_s() -> float:
    """Return the CPU seconds that the whole machine has spent on anything."""
    fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    idle = fields[3] + fields[4]
    return (sum(fields[:8]) - idle) / os.sysconf("SC_CLK_TCK")


def both(made: VaultFolder, crowd: Crowd, sessions: int, seconds: float) -> tuple[Row, Row]:
    """Measure the coordinator and the echo server, one after the other."""
    coordinator = [str(Path(sys.executable).parent / "replikera-coordinator"), "run"]
    commands = {
        "coordinator": [*coordinator, "--settings", str(made.settings_file)],
        "echo": [
            sys.executable,
            str(HERE / "session_echo.py"),
            str(made.session_port),
            str(made.folder / "state" / "server"),
            str(SESSION_LIMITS.message_bytes),
            str(SESSION_LIMITS.concurrent_streams),
        ],
    }
    rows = []
    for name, command in commands.items():
        with ExitStack() as stack:
            log = made.folder / f"{name}.log"
            server_id = stack.enter_context(server(command, log, made.session_port))
            empty = process_state(server_id).resident_bytes
            clients = Clients(crowd, sessions, made.session_port, made.folder)
            stack.callback(clients.end)
            rows.append(measure(name, server_id, clients, sessions, seconds, empty=empty))
    return rows[0], rows[1]


HEADINGS = (
    ("server", 12),
    ("sessions", 9),
    ("CPU % rest", 11),
    ("p50 ms", 8),
    ("p99 ms", 8),
    ("max ms", 8),
    ("RSS MiB", 9),
    ("KiB/session", 12),
    ("storm s", 9),
    ("server CPU s", 13),
    ("clients CPU s", 14),
    ("redials", 8),
    ("others %", 9),
)


def report(pairs: list[tuple[Row, Row]]) -> None:
    """Print a row a server and number of sessions, and ours by the echo server's."""
    print("".join(f"{name:>{width}}" for name, width in HEADINGS))
    for ours, echo in pairs:
        for row in (ours, echo):
            print(_line(row))
        print(_ratios(ours, echo))


def _line(row: Row) -> str:
    texts = (
        row.server,
        str(row.sessions),
        f"{row.rest_cpu:.1f}",
        f"{statistics.median(row.round_trips_ms):.2f}",
        f"{row.quantile(0.99):.2f}",
        f"{max(row.round_trips_ms):.1f}",
        f"{row.resident_bytes / MIB:.0f}",
        f"{row.bytes_a_session / 1024:.0f}",
        f"{row.storm_s:.2f}",
        f"{row.storm_cpu_s:.2f}",
        f"{row.storm_client_cpu_s:.2f}",
        str(row.redials),
        f"{row.others_cpu:.0f}",
    )
    return "".join(f"{text:>{width}}" for text, (_, width) in zip(texts, HEADINGS, strict=True))


def _ratios(ours: Row, echo: Row) -> str:
    texts = (
        "ours / echo",
        "",
        f"{ours.rest_cpu / echo.rest_cpu:.2f}",
        f"{ours.quantile(0.5) / echo.quantile(0.5):.2f}",
        f"{ours.quantile(0.99) / echo.quantile(0.99):.2f}",
        f"{max(ours.round_trips_ms) / max(echo.round_trips_ms):.2f}",
        f"{ours.resident_bytes / echo.resident_bytes:.2f}",
        f"{ours.bytes_a_session / echo.bytes_a_session:.2f}",
        f"{ours.storm_s / echo.storm_s:.2f}",
        f"{ours.storm_cpu_s / echo.storm_cpu_s:.2f}",
        f"{ours.storm_client_cpu_s / echo.storm_client_cpu_s:.2f}",
        "",
        "",
    )
    return "".join(f"{text:>{width}}" for text, (_, width) in zip(texts, HEADINGS, strict=True))


def raise_file_limit(sessions: int) -> None:
    """Allow as many files as the sessions need, here and in what is started from here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = FILES_PER_SESSION * sessions + 512
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SystemExit(f"{sessions} sessions need {needed} open files, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", default="200,1000,2000")
    parser.add_argument("--seconds", type=float, default=25.0)
    parser.add_argument(
        "--dir", type=Path, help="where the vault goes; a temporary folder without it"
    )
    options = parser.parse_args()
    counts = [int(text) for text in options.sessions.split(",")]
    raise_file_limit(max(counts))
    if options.dir is not None:
        options.dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="replikera-sessions-", dir=options.dir))
    try:
        made = lay_out(folder)
        crowd = asyncio.run(make_vault(made, max(counts)))
        pairs = []
        for count in counts:
            pairs.append(both(made, crowd, count, options.seconds))
            print(f"{count} sessions done", file=sys.stderr)
    except BaseException:
        print(f"what is left for a look: {folder}", file=sys.stderr)
        raise
    shutil.rmtree(folder)
    print(f"heartbeats of {options.seconds:g} s at rest; both ends on this machine")
    report(pairs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
