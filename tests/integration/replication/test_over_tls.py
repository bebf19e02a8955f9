"""The same over mutual TLS on loopback, with real threads and real time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from replikera.channel import (
    REPLICATION_LIMITS,
    GrpcDialler,
    Server,
    mutual_tls_server,
    replication_service,
)
from replikera.denials import Denials
from replikera.identity import Role
from replikera.system.clock import SystemClock
from replikera.system.workers import ThreadWorker
from tests.integration.replication.sites import (
    PROTECTION,
    SOURCE,
    TARGET,
    PrimarySite,
    SecondarySite,
    office,
)
from tests.support.authority import VAULT_ID, Authority


class SecureSites:
    def __init__(self, folder: Path, worker: ThreadWorker) -> None:
        (folder / "a").mkdir()
        vault = office()
        self.authority: Authority = vault.authority
        self.primary = PrimarySite(folder / "a", SystemClock(), worker, vault)
        self.secondary = SecondarySite(folder / "b", SystemClock(), worker, vault)
        self.primary.frequency = timedelta(seconds=1)

    def dialler(self, host_id: str = SOURCE) -> GrpcDialler:
        return GrpcDialler(self.authority.holder(Role.HOST, host_id))

    @asynccontextmanager
    async def listening(self, address: str = "127.0.0.1:0") -> AsyncIterator[Server]:
        handlers = (replication_service(self.secondary.receiver.serve, Denials(), VAULT_ID),)
        server = mutual_tls_server(
            address,
            self.authority.holder(Role.HOST, TARGET),
            lambda listener: listener.add_generic_rpc_handlers(handlers),
            REPLICATION_LIMITS,
        )
        await server.start()
        self.primary.target_address = f"127.0.0.1:{server.port}"
        try:
            yield server
        finally:
            await server.stop(0)

    async def assert_points_equal(self) -> int:
        points = self.secondary.store.get(PROTECTION).points()
        for point in points:
            recovered = await self.secondary.recovered(point.sequence)
            assert recovered == self.primary.history[point.capture_ended_at], point.sequence
        return len(points)


@pytest.fixture
def worker() -> Iterator[ThreadWorker]:
    worker = ThreadWorker("test", threads=2)
    yield worker
    worker.close()


@pytest.fixture
async def sites(tmp_path: Path, worker: ThreadWorker) -> SecureSites:
    sites = SecureSites(tmp_path, worker)
    await sites.secondary.accept()
    return sites


async def test_points_arrive_over_mutual_tls(sites: SecureSites) -> None:
    async with sites.listening(), sites.primary.running(lambda _group: sites.dialler()):
        await sites.primary.until_sequence(2)
    assert await sites.assert_points_equal() >= 2


async def test_a_target_that_goes_away_and_comes_back_is_found_again(sites: SecureSites) -> None:
    async with asyncio.TaskGroup() as group:
        stopped = asyncio.Event()

        async def listen_twice() -> None:
            async with sites.listening() as server:
                listening.set()
                await stopped.wait()
            await sites.primary.until(sites.primary.has_failed)
            async with sites.listening(f"127.0.0.1:{server.port}"):
                await finished.wait()

        listening, finished = asyncio.Event(), asyncio.Event()
        group.create_task(listen_twice())
        await listening.wait()
        async with sites.primary.running(lambda _group: sites.dialler()):
            await sites.primary.until_sequence(1)
            stopped.set()
            await sites.primary.until_sequence(3)
        finished.set()
    codes = {status.failure.code for status in sites.primary.statuses if status.failure}
    assert codes == {"target-unreachable"}
    assert await sites.assert_points_equal() >= 3


async def test_a_host_of_the_vault_that_is_not_the_source_is_told_so(sites: SecureSites) -> None:
    stranger = "aaaaaaaa-0000-4000-8000-00000000000f"
    async with sites.listening(), sites.primary.running(lambda _group: sites.dialler(stranger)):
        await sites.primary.until(sites.primary.has_failed)
    failure = sites.primary.statuses[-1].failure
    assert failure is not None
    assert failure.code == "foreign-source"
    assert stranger in failure.cause
    assert sites.secondary.store.get(PROTECTION).head.sequence == 0
