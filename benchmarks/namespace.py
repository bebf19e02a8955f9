"""A network namespace of the benchmark's own: all bytes on its loopback are counted, and its rate can be limited."""

import os
import subprocess
import sys
from pathlib import Path

_INSIDE = "REPLIKERA_BENCHMARK_NAMESPACE"


def enter_namespace() -> None:
    """Start this program again in a network namespace of its own, unless it runs in one. Only root may."""
    if os.environ.get(_INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    os.environ[_INSIDE] = "1"
    arguments = ["unshare", "--net", sys.executable, *sys.argv]
    os.execvp("unshare", arguments)  # noqa: S606


def limit_rate(megabits: int) -> None:
    """Let loopback carry so many Mbit/s, both directions together, as the slower link between two sites would."""
    limits = ["rate", f"{megabits}mbit", "burst", "256kb", "latency", "50ms"]
    subprocess.run(["tc", "qdisc", "replace", "dev", "lo", "root", "tbf", *limits], check=True)


def wire_bytes() -> int:
    """Return what loopback has carried so far, headers of the link included."""
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "lo":
            return int(counters.split()[0])
    raise RuntimeError("this namespace has no loopback")
