"""The service units of deploy/systemd, read as systemd reads them, and the sandbox that they ask for."""

import ctypes
import ctypes.util
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

UNITS = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
PACKAGE = "systemd"
"""Debian's package with systemd-analyze."""

CONFINEMENT_FAILED = (97, 98, 99)
"""Exit codes of a child that could not confine itself."""

_SCMP_ACT_ALLOW = 0x7FFF0000
_SCMP_ACT_EPERM = 0x00050000 | 1
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_MDWE = 65
_PR_MDWE_REFUSE_EXEC_GAIN = 1


@dataclass(frozen=True)
class Unit:
    """A unit file: the values of each key of each section, in their order."""

    path: Path
    sections: dict[str, dict[str, list[str]]]

    def values(self, key: str) -> list[str]:
        """Return the values of a key of [Service]."""
        return self.sections["Service"].get(key, [])

    def value(self, key: str) -> str:
        """Return the one value of a key of [Service]."""
        (value,) = self.values(key)
        return value

    @property
    def command(self) -> list[str]:
        """Return the words of ExecStart."""
        return self.value("ExecStart").split()


def read_unit(path: Path) -> Unit:
    """Return what a unit file says. Raises `ValueError` for a line that is none of a unit."""
    sections: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] | None = None
    for line in map(str.strip, path.read_text().splitlines()):
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = sections.setdefault(line[1:-1], defaultdict(list))
        elif section is None or "=" not in line or line.endswith("\\"):
            raise ValueError(f"{path.name}: {line}")
        else:
            key, _, value = line.partition("=")
            section[key].append(value)
    return Unit(path, {name: dict(found) for name, found in sections.items()})


def analyze() -> str | None:
    """Return systemd-analyze, None where it is not installed."""
    return shutil.which("systemd-analyze")


def system_calls(filters: Sequence[str]) -> set[str]:
    """Return the system calls that the values of SystemCallFilter= leave."""
    allowed: set[str] = set()
    for value in filters:
        words = value.removeprefix("~").split()
        named = {call for word in words for call in _expand(word)}
        allowed = allowed - named if value.startswith("~") else allowed | named
    # Groups that systemd allows in every list: the way into a program and out of it.
    return allowed | _expand("@default")


def confinement(unit: Unit) -> Callable[[], None]:
    """Return what a child process does to itself before the program: the unit's system calls and memory rule.

    Raises `OSError` where this machine cannot.
    """
    library = ctypes.util.find_library("seccomp")
    if library is None:
        raise OSError("there is no libseccomp")
    seccomp = ctypes.CDLL(library)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(_SCMP_ACT_EPERM)))
    for name in system_calls(unit.values("SystemCallFilter")):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            seccomp.seccomp_rule_add(
                context, ctypes.c_uint32(_SCMP_ACT_ALLOW), ctypes.c_int(number), ctypes.c_uint(0)
            )
    process = ctypes.CDLL(None, use_errno=True)
    denies_writable_code = unit.value("MemoryDenyWriteExecute") == "yes"

    def confine() -> None:
        if process.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            os._exit(CONFINEMENT_FAILED[0])
        if denies_writable_code and process.prctl(_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
            os._exit(CONFINEMENT_FAILED[1])
        if seccomp.seccomp_load(context) != 0:
            os._exit(CONFINEMENT_FAILED[2])

    return confine


def _expand(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    program = analyze()
    if program is None:
        raise OSError("there is no systemd-analyze")
    listed = subprocess.run(
        [program, "syscall-filter", word], capture_output=True, text=True, check=True, timeout=60
    )
    names = [line.strip() for line in listed.stdout.splitlines()[1:]]
    calls: set[str] = set()
    for name in names:
        if name and not name.startswith("#"):
            calls |= _expand(name)
    return calls
