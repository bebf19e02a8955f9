"""A vault that is restored from a backup while its hosts work on: real agents tell it what it has forgotten."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from coordinator import daemon
from coordinator.domain.commands import by_operator
from coordinator.orchestration.founding import open_vault
from coordinator.orchestration.machinery import Machinery
from coordinator.orchestration.restore import restore_backup
from coordinator.orchestration.vault import Addresses
from replikera.system.workers import ThreadWorker
from tests.integration.trust.trusted_line import TrustedLine, join_both, until_connected

pytestmark = pytest.mark.timeout(240)

TEST_FAILOVERS = "/protections/web/test-failovers"


async def test_hosts_go_on_under_a_restored_vault_without_a_resync(
    line: TrustedLine, tmp_path: Path
) -> None:
    archive = tmp_path / "backup.tar"
    async with AsyncExitStack() as agents:
        async with line.vault():
            await join_both(line)
            for site in (line.source, line.target):
                await agents.enter_async_context(line.agent(site))
            await until_connected(line)
            await line.protect()
            await agents.enter_async_context(line.writing())
            await line.until_new_points()
        await back_up(line, archive)
        async with line.vault():
            # What follows is lost.
            await until_connected(line)
            await line.until_new_points()
            await rehearse(line)
            lost = await line.rest.get("/vault")
            points = await line.points()
        await put_back(line, archive)
        async with line.vault():
            await until_serving(line)
            await until_connected(line)
            await line.until_new_points()
            after = await line.rest.get("/vault")
            assert after["head"]["number"] > lost["head"]["number"]
            assert await line.points() == list(range(1, len(await line.points()) + 1))
            assert len(await line.points()) > len(points)
            assert (await line.protection())["state"] == "protected"
            # The test failover of the lost time is known to its host alone.
            found = (await line.rest.everything("/test-failovers"))[0]
            assert (found["state"], found["is_successful"]) == ("failed", False)
            assert "its host alone knows" in found["cause"]
            await clean_up(line)
            # Orders are obeyed again: another one is begun by the target.
            await rehearse(line)
            await clean_up(line)
            tests = await line.rest.everything("/test-failovers")
            assert [test["state"] for test in tests] == ["cleaned-up", "cleaned-up"]
            assert [test["is_successful"] for test in tests] == [True, False]
            assert tests[1]["removed"], "what the host held is named"


async def test_an_old_database_is_found_out_by_real_agents(
    line: TrustedLine, tmp_path: Path
) -> None:
    state = daemon.state_directory(line.settings)
    async with AsyncExitStack() as agents:
        async with line.vault():
            await join_both(line)
            for site in (line.source, line.target):
                await agents.enter_async_context(line.agent(site))
            await until_connected(line)
        old = line.machine.files.read_bytes(state.database, limit=1 << 30)
        async with line.vault():
            await line.rest.post("/sites", {"name": "third"})
            await line.protect()
        for name in state.database_names:
            if line.machine.files.status(state.folder / name) is not None:
                line.machine.files.remove(state.folder / name)
        line.machine.files.append(state.database, old)
        async with line.vault():

            async def has_reconciled() -> bool:
                return bool(await reconciliations(line))

            await line.until("the end of reconciling", has_reconciled)
            await until_serving(line)
            await until_connected(line)
            # One, or two: without a protection the first host ends the first, and what the second knows begins another.
            told = await reconciliations(line)
            assert any("kept by hosts alone: " in each for each in told)
            assert await line.rest.everything("/protections") == []


async def rehearse(line: TrustedLine) -> None:
    """Test a failover of the latest point."""
    await end_of(line, await line.rest.post(TEST_FAILOVERS, {"point": "latest"}))


async def clean_up(line: TrustedLine) -> None:
    """Clean the test failover up."""
    await end_of(line, await line.rest.post(f"{TEST_FAILOVERS}/clean-up", {}))


async def end_of(line: TrustedLine, job: Mapping[str, Any]) -> None:
    async def has_ended() -> bool:
        found = await line.rest.get(f"/jobs/{job['id']}")
        assert found["state"] in {"running", "succeeded"}, found
        return bool(found["state"] == "succeeded")

    await line.until(f"the end of {job['kind']}", has_ended)


async def reconciliations(line: TrustedLine) -> list[str]:
    """Return what the history tells of every one."""
    events = await line.rest.everything("/events")
    return [str(event["detail"]) for event in events if event["kind"] == "vault-reconciled"]


async def until_serving(line: TrustedLine) -> None:
    async def look() -> bool:
        return bool((await line.rest.get("/vault"))["mode"] == "serving")

    await line.until("the end of reconciling", look)


async def back_up(line: TrustedLine, archive: Path) -> None:
    """Take a backup of the vault, which does not run at this moment."""
    worker = ThreadWorker("backup", threads=1)
    machine = line.machine
    machinery = Machinery(machine.files, machine.clock, machine.randomness, worker)
    state = daemon.state_directory(line.settings)
    vault = await open_vault(machinery, state, Addresses("vault.test:1", "vault.test:2"))
    try:
        async with vault.backups.take(vault, by_operator("ann")) as backup:
            async for chunk in backup.chunks():
                machine.files.append(archive, chunk)
    finally:
        await vault.store.close()
        worker.close()


async def put_back(line: TrustedLine, archive: Path) -> None:
    """Lose the vault, and restore it from its backup in the same place."""
    machine = line.machine
    state = daemon.state_directory(line.settings)
    for folder in (state.authority, state.server):
        machine.files.remove_tree(folder)
    for name in state.database_names:
        if machine.files.status(state.folder / name) is not None:
            machine.files.remove(state.folder / name)
    worker = ThreadWorker("restore", threads=1)
    try:
        machinery = Machinery(machine.files, machine.clock, machine.randomness, worker)
        await restore_backup(machinery, archive, state)
    finally:
        worker.close()
