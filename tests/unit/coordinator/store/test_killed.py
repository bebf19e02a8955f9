"""A coordinator that is killed at any moment has lost nothing that it had acknowledged."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from coordinator.domain.identifiers import JobId
from coordinator.store.database import Store
from tests.unit.coordinator.examples import SOURCE, TARGET

ROUNDS = 5

WRITER = """
import asyncio, json, sys
from dataclasses import replace
from pathlib import Path
from random import Random
from coordinator.domain.commands import by_operator
from coordinator.domain.decisions import Decision
from coordinator.domain.events import Event, EventKind
from coordinator.domain.identifiers import JobId
from coordinator.store.database import Store
from tests.unit.coordinator.examples import NOW, POLICY, SOURCE, TARGET, enabling

async def run(path, seed):
    random = Random(seed)
    store = Store(Path(path))
    await store.open()
    _, job = enabling()
    async with store.write() as records:
        await records.save(Decision((SOURCE, TARGET, POLICY)), by_operator("ann"))
    while True:
        name = f"{random.getrandbits(64):x}"
        events = tuple(
            Event(NOW, EventKind.POLICY_CREATED, name, "d" * random.randrange(3000))
            for _ in range(random.randrange(1, 5))
        )
        command = by_operator("ann", name, b"d")
        async with store.write() as records:
            made = replace(job, id=JobId(name))
            await records.save(Decision((made,), events=events), command, result=name)
            head = await records.head()
        print(json.dumps([name, len(events), head.number, head.digest.hex()]), flush=True)

asyncio.run(run(sys.argv[1], sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "vault.db"
    told = killed_in_the_middle(path, seed, Random(seed).randrange(1, 120))
    store = Store(path)
    await store.open()
    await store.check_integrity()
    head = await store.verify_history()
    assert head.number >= told[-1][2]
    async with store.read() as records:
        assert await records.hosts.all() == (SOURCE, TARGET)
        for name, count, number, digest in told:
            assert await records.jobs.find(JobId(name)) is not None
            line = await records.history.line(number)
            assert line is not None
            assert line.digest.hex() == digest
            assert len((await records.history.page(subject=name)).items) == count
        # What was on its way is there wholly or not at all.
        jobs = {job.id for job in await records.jobs.all()}
        lines = await records.history.page(None, 1000)
        assert lines.next_cursor is None
        assert {line.subject for line in lines.items} == jobs
    await store.close()


def killed_in_the_middle(path: Path, seed: int, after: int) -> list[tuple[str, int, int, str]]:
    """Let another process decide, kill it once it has acknowledged so many, and return what it acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(seed)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
    # A line may be cut; then its decision was not acknowledged.
    return [tuple(json.loads(line)) for line in lines if line.endswith(b"\n")]
