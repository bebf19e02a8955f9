"""Run a program and know what it cost, by the operating system's own account of the ended process."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """What one process cost: wall seconds, CPU seconds (user and system), peak resident bytes."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True)
class Cost:
    """What a copy cost: wall seconds, CPU seconds and peak resident bytes of either end, bytes on the wire."""

    wall_s: float
    source_cpu_s: float
    target_cpu_s: float
    source_peak_bytes: int
    target_peak_bytes: int
    wire_bytes: int


class Program:
    """A child process whose cost is known once it ended."""

    def __init__(self, arguments: Sequence[str], **environment: str) -> None:
        self._begun = time.monotonic()
        self._arguments = list(arguments)
        self.process = subprocess.Popen(
            self._arguments, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
        )

    def usage(self, *, check: bool = True) -> Usage:
        """Wait for the end and return what it cost."""
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if check and self.process.returncode != 0:
            raise RuntimeError(f"{self._arguments[0]} ended with {self.process.returncode}")
        cpu_s = usage.ru_utime + usage.ru_stime
        return Usage(time.monotonic() - self._begun, cpu_s, usage.ru_maxrss * 1024)

    def stop(self) -> Usage:
        """End it with SIGTERM and return what it cost."""
        self.process.send_signal(signal.SIGTERM)
        return self.usage(check=False)


@dataclass(frozen=True)
class ProcessState:
    """CPU seconds so far, resident bytes and their peak, of a living process."""

    cpu_s: float
    peak_bytes: int
    resident_bytes: int


def process_state(process_id: int) -> ProcessState:
    """Return what a living process has cost so far."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    status = Path(f"/proc/{process_id}/status").read_text()
    sizes = {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (line.partition(":") for line in status.splitlines())
        if name in {"VmHWM", "VmRSS"}
    }
    return ProcessState(ticks / os.sysconf("SC_CLK_TCK"), sizes["VmHWM"], sizes["VmRSS"])


def reset_peak(process_id: int) -> None:
    """Make the peak count from now."""
    Path(f"/proc/{process_id}/clear_refs").write_text("5")
