"""Fuzz the VHDX reader and writer: `python -m tests.fuzz.vhdx --runs N --seed S [--engine auto|plain|atheris]`.

With atheris the inputs follow what the code does with them; without it they are a seeded random walk from the corpus.
Either way each input is judged in a process that may take 512 MiB more than it begins with, and 20 seconds.
A finding ends the run, and its input is written to a file that `--input FILE` judges again.
"""

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each thread takes address space beforehand

import collections
import faulthandler
import gc
import importlib
import importlib.util
import random
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, FunctionType

from tests.fuzz.vhdx_files import GROW, WRITE, build_case, worlds
from tests.fuzz.vhdx_judge import FindingError, judge

CORPUS = Path(__file__).parent / "corpus" / "vhdx.txt"
MEMORY = 512 << 20
SECONDS = 20
MAX_INPUT = 256


def run(data: bytes) -> str:
    """Judge one input; return what became of it. Whatever is raised is a finding."""
    return judge(build_case(data))


def inputs(seed: int) -> Iterator[bytes]:
    """Yield the corpus and then, for ever, what a seeded random walk makes of it."""
    pool = corpus()
    yield from pool
    generator = random.Random(seed)
    while True:
        # Most of the corpus is refused, so half of the walks begin with a file that is not.
        sound = pool[: 2 * len(worlds())]
        yield _mutated(generator, generator.choice(generator.choice((sound, pool))))


def corpus() -> list[bytes]:
    """Return the inputs of the repository, and before them those that spoil nothing."""
    plain = [
        bytes([number, option])
        for option in (WRITE, WRITE | GROW)
        for number in range(len(worlds()))
    ]
    lines = CORPUS.read_text().splitlines()
    return plain + [bytes.fromhex(line.partition("#")[0]) for line in lines if line[:1] != "#"]


def _mutated(generator: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    if generator.random() < 0.5:
        out[0] = generator.randrange(len(worlds()))
    if generator.random() < 0.3:
        out[1] = generator.randrange(8)
    for _ in range(generator.choice((0, 1, 1, 1, 2))):
        if len(out) > 2:
            out[generator.randrange(2, len(out))] = _byte(generator)
    for _ in range(generator.choice((0, 1, 1, 2, 4))):
        value = bytes(_byte(generator) for _ in range(8))
        out += bytes([generator.randrange(256), generator.randrange(256), 0]) + value
    return bytes(out[:MAX_INPUT])


def _byte(generator: random.Random) -> int:
    return generator.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 0x7F, 0x80, 0xFF, generator.randrange(256)))


def run_plain(runs: int, seed: int) -> None:
    """Judge `runs` inputs and tell what became of them."""
    outcomes: collections.Counter[str] = collections.Counter()
    for number, data in enumerate(inputs(seed)):
        if number == runs:
            break
        outcomes[judged(data)] += 1
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    sys.stdout.write(f"{runs} runs, seed {seed}: {told}\n")


def judged(data: bytes) -> str:
    """Judge one input within its time; keep it and end the process if it is a finding."""
    signal.alarm(SECONDS)
    try:
        return run(data)
    except BaseException:  # noqa: BLE001 - whatever it is, it is a finding
        kept = Path(tempfile.gettempdir()) / f"vhdx-finding-{os.getpid()}.bin"
        kept.write_bytes(data)
        traceback.print_exc()
        sys.stderr.write(f"FINDING, input {data.hex()} in {kept}\n")
        raise SystemExit(1) from None
    finally:
        signal.alarm(0)


def run_atheris(runs: int, seed: int) -> None:
    """Let atheris choose the inputs; new ones are kept in a folder of their own."""
    atheris = importlib.import_module("atheris")

    for function in gc.get_objects():
        if isinstance(function, FunctionType) and "replikera/vhdx" in function.__code__.co_filename:
            atheris.instrument_func(function)
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder)
        for number, data in enumerate(corpus()):
            (found / f"corpus-{number}").write_bytes(data)
        options = [
            f"-runs={runs}",
            f"-seed={seed}",
            f"-max_len={MAX_INPUT}",
            "-rss_limit_mb=0",
            "-len_control=0",
        ]
        options.append(f"-artifact_prefix={tempfile.gettempdir()}/vhdx-")
        atheris.Setup([sys.argv[0], *options, folder], judged)
        atheris.Fuzz()


def limit_memory() -> None:
    """Let this process take no more than `MEMORY` beyond what it has."""
    worlds()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _too_slow(_signal: int, _frame: FrameType | None) -> None:
    raise FindingError(f"still not done after {SECONDS} s")


def main() -> None:
    """Judge one input, or many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=("auto", "plain", "atheris"), default="auto")
    parser.add_argument("--input", type=Path)
    options = parser.parse_args()
    faulthandler.enable()
    signal.signal(signal.SIGALRM, _too_slow)
    has_atheris = importlib.util.find_spec("atheris") is not None
    is_guided = options.engine == "atheris" or (options.engine == "auto" and has_atheris)
    limit_memory()
    if options.input is not None:
        sys.stdout.write(judged(options.input.read_bytes()) + "\n")
    elif is_guided:
        run_atheris(options.runs, options.seed)
    else:
        run_plain(options.runs, options.seed)


if __name__ == "__main__":
    main()
