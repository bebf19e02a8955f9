import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from agent.control.membership import Membership, MembershipFolder, renewal_name
from agent.control.renewal import (
    LOOK_SECONDS,
    MAX_RETRY_SECONDS,
    MIN_RETRY_SECONDS,
    CertificateRenewal,
)
from replikera.identity import (
    RENEWAL_JITTER,
    Credentials,
    CredentialsHolder,
    Role,
    dns_name,
    generate_private_key,
    signing_request,
    uri_name,
)
from replikera.ports.streams import StreamClosedError
from tests.support.authority import VAULT_ID, Authority, make_authority, pem
from tests.unit.agent.fakes import START, Fuse, FusedFiles, InlineWorker, Killed, ManualClock

HOST = "host-1"
DAY = 86_400.0
LIFE = timedelta(days=7)
MEMBERSHIP = Membership(VAULT_ID, "home", HOST, "vault.test:7402", "a")


class Middle:
    """Draws the middle of every range, or what it is told."""

    def __init__(self) -> None:
        self.drawn: list[tuple[float, float]] = []
        self.jitter = 0.0

    def uniform(self, low: float, high: float) -> float:
        self.drawn.append((low, high))
        return self.jitter if low < 0 else (low + high) / 2

    def bytes(self, count: int) -> bytes:
        raise AssertionError

    def uuid(self) -> str:
        raise AssertionError


class Vault:
    """Issues a certificate for each new key, the same again for the same key; away when told."""

    def __init__(self, clock: ManualClock) -> None:
        self.authority: Authority = make_authority()
        self.clock = clock
        self.issued: dict[bytes, bytes] = {}
        self.presented: list[Credentials] = []
        self.error: StreamClosedError | None = None
        self.life = LIFE

    async def request(self, signing_request: bytes, credentials: Credentials) -> bytes:
        self.presented.append(credentials)
        if self.error is not None:
            raise self.error
        return self.issue(signing_request)

    def issue(self, request: bytes) -> bytes:
        key = x509.load_der_x509_csr(request).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        number = key.public_numbers().x.to_bytes(32, "big")
        if number not in self.issued:
            now = self.clock.now()
            leaf = self.authority.leaf(
                key,
                [uri_name(Role.HOST, HOST, VAULT_ID)],
                dns=dns_name(Role.HOST, HOST, VAULT_ID),
                validity=(now, now + self.life),
            )
            self.issued[number] = pem(leaf)
        return self.issued[number]


class Host:
    """A host that has just joined; `holder` is what it presents."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock()
        self.vault = Vault(self.clock)
        self.path = path / "identity"
        self.randomness = Middle()
        key = generate_private_key()
        chain = self.vault.issue(signing_request(key))
        self.first = Credentials(chain, key, self.vault.authority.root_pem)
        self.folder().adopt("join-1", MEMBERSHIP, self.first)
        self.holder = CredentialsHolder(self.first)
        self.replaced: list[Credentials] = []
        self.holder.subscribe(self.replaced.append)

    def folder(self, files: FusedFiles | None = None) -> MembershipFolder:
        return MembershipFolder(files or FusedFiles(), self.path)

    def renewal(self, files: FusedFiles | None = None) -> CertificateRenewal:
        return CertificateRenewal(
            self.holder,
            MEMBERSHIP,
            self.folder(files),
            self.vault,
            worker=InlineWorker(),
            clock=self.clock,
            randomness=self.randomness,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ManualClock]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.renewal().run())
            yield self.clock
            task.cancel()

    @property
    def now(self) -> datetime:
        return self.clock.now()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


async def test_certificate_is_renewed_at_half_of_its_life(host: Host) -> None:
    async with host.running() as clock:
        await clock.advance(3.5 * DAY - 1)
        assert host.replaced == []
        await clock.advance(2)
        (renewed,) = host.replaced
        assert host.vault.presented == [host.first]
        assert renewed.private_key != host.first.private_key
        assert renewed.caller.not_after == START + timedelta(days=10.5)
        assert host.folder().load() == (MEMBERSHIP, renewed)
        await clock.advance(3.5 * DAY + 2)
        assert len(host.replaced) == 2
        assert host.vault.presented[1] == renewed


@pytest.mark.parametrize("jitter", [-RENEWAL_JITTER, RENEWAL_JITTER])
async def test_renewals_are_spread_around_the_half(host: Host, jitter: float) -> None:
    host.randomness.jitter = jitter
    due = (0.5 + jitter) * LIFE.total_seconds()
    async with host.running() as clock:
        await clock.advance(due - 1)
        assert host.replaced == []
        await clock.advance(2)
        assert len(host.replaced) == 1
    assert host.randomness.drawn[0] == (-RENEWAL_JITTER, RENEWAL_JITTER)


async def test_clock_that_was_set_forward_is_noticed(host: Host) -> None:
    async with host.running() as clock:
        await clock.advance(10)
        clock.elapsed += 4 * DAY
        await clock.advance(LOOK_SECONDS)
        assert len(host.replaced) == 1


async def test_vault_that_is_away_is_asked_again_with_growing_waits_and_the_same_key(
    host: Host,
) -> None:
    host.vault.error = StreamClosedError("the vault is not available: down")
    with capture_logs() as logs:
        async with host.running() as clock:
            await clock.advance(3.5 * DAY + 2 * 3600)
            tried = len(host.vault.presented)
            assert 8 < tried < 30
            host.vault.error = None
            await clock.advance(MAX_RETRY_SECONDS)
            assert len(host.replaced) == 1
    waits = [high for low, high in host.randomness.drawn if low == MIN_RETRY_SECONDS]
    assert waits[:3] == [60.0, 120.0, 240.0]
    assert max(waits) == MAX_RETRY_SECONDS
    assert len(host.vault.issued) == 2
    told = [entry for entry in logs if entry["event"] == "certificate not renewed"]
    assert [entry["cause"] for entry in told] == ["the vault is not available: down"]


async def test_expired_certificate_is_told_once_with_its_remedy_and_asked_for_all_the_same(
    host: Host,
) -> None:
    host.vault.error = StreamClosedError("the vault is not available: down")
    with capture_logs() as logs:
        async with host.running() as clock:
            await clock.advance(8 * DAY)
            tried = len(host.vault.presented)
            await clock.advance(3600)
            assert len(host.vault.presented) > tried
    told = [entry["cause"] for entry in logs if entry["event"] == "certificate not renewed"]
    assert len(told) == 2
    assert "has expired on 2026-01-08" in told[1]
    assert "replikera host readmit" in told[1]


async def test_new_credentials_are_durable_before_they_are_presented(host: Host) -> None:
    kept: list[Credentials] = []
    host.holder.subscribe(lambda _renewed: kept.append(host.folder().load()[1]))
    async with host.running() as clock:
        await clock.advance(3.5 * DAY + 1)
    assert kept == host.replaced


async def test_kill_at_any_moment_is_followed_by_the_same_certificate(tmp_path: Path) -> None:
    counting = Host(tmp_path / "counted")
    files = FusedFiles()
    counting.clock.elapsed = 4 * DAY
    assert await counting.renewal(files)._renewed()
    for moment in range(1, files.fuse.ticks + 1):
        host = Host(tmp_path / str(moment))
        host.clock.elapsed = 4 * DAY
        with pytest.raises(Killed):
            await host.renewal(FusedFiles(Fuse(moment)))._renewed()
        assert host.replaced == []
        _, kept = host.folder().load()
        if kept == host.first:
            assert await host.renewal()._renewed()
            _, kept = host.folder().load()
        assert kept.caller.not_after == START + timedelta(days=11)
        assert len(host.vault.issued) == 2, f"moment {moment}"


async def test_certificate_that_ends_no_later_is_not_taken(host: Host) -> None:
    host.vault.life = timedelta(days=3)
    with capture_logs() as logs:
        async with host.running() as clock:
            await clock.advance(3.5 * DAY + 1)
    assert host.replaced == []
    assert host.folder().load() == (MEMBERSHIP, host.first)
    assert "ends no later" in logs[-1]["cause"]


async def test_certificate_of_somebody_else_is_not_taken(host: Host) -> None:
    async def answer(signing_request: bytes, credentials: Credentials) -> bytes:
        return host.vault.authority.issue(
            Role.HOST, HOST, valid_for=timedelta(days=9999)
        ).certificate_chain

    host.vault.request = answer  # type: ignore[method-assign]  # a vault that mixes up its hosts
    host.clock.elapsed = 4 * DAY
    assert not await host.renewal()._renewed()
    assert host.folder().load() == (MEMBERSHIP, host.first)


async def test_damaged_key_is_named(host: Host) -> None:
    folder = host.path / renewal_name(host.first)
    folder.mkdir()
    (folder / "key.pem").write_bytes(b"noise")
    with capture_logs() as logs:
        assert not await host.renewal()._renewed()
    assert str(folder) in logs[-1]["cause"]
    assert host.vault.presented == []
