"""Which run of the agent this is: a copy of the host betrays itself by a count that does not rise."""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from replikera.durable import write_durably
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness

_MAX_BYTES = 1024
_MAX_COUNT = (1 << 63) - 1


class RunCountError(Exception):
    """The file is not what was written; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Run:
    """`start_count` is higher than that of every earlier run of this host; `run_id` is this run's alone."""

    start_count: int
    run_id: str


@dataclass(frozen=True, slots=True)
class _CountFile:
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    start_count: int


_COUNT_FILE = TypeAdapter(_CountFile)


def begin_run(files: Files, path: Path, randomness: Randomness) -> Run:
    """Count this run, durably before it says anything to the vault. Blocks. Raises `RunCountError`."""
    count = _read(files, path) + 1
    write_durably(files, path, json.dumps({"start_count": count}).encode())
    return Run(count, randomness.uuid())


def _read(files: Files, path: Path) -> int:
    try:
        count = _COUNT_FILE.validate_json(files.read_bytes(path, limit=_MAX_BYTES)).start_count
    except FileNotFoundError:
        return 0
    except (ValueError, ValidationError) as error:
        raise _damaged(path) from error
    if not 0 <= count < _MAX_COUNT:
        raise _damaged(path)
    return count


def _damaged(path: Path) -> RunCountError:
    return RunCountError(
        f"{path} does not hold how often this agent was started. Remove the file: the vault then takes this host for "
        "a copy, and an operator readmits it (replikera host readmit)."
    )
