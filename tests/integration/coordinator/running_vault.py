"""A real coordinator on loopback, an operator of it, and hosts that speak to it over mutual TLS."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio

from coordinator import daemon
from coordinator.config import CoordinatorSettings, ListenerSettings, VaultSettings
from coordinator.daemon import Ports
from coordinator.orchestration.founding import Founding, found_vault
from coordinator.orchestration.machinery import Machinery
from replikera.channel import open_channel, open_enrolment_channel
from replikera.enrolment import parse_join_line
from replikera.identity import (
    Credentials,
    Role,
    dns_name,
    generate_private_key,
    load_credentials,
    signing_request,
)
from replikera.machine import Disk, MachineDescription, NetworkAdapter
from replikera.ports.clock import Clock
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.system.workers import ThreadWorker
from replikera.tls import client_tls
from replikera.wire.v1 import (
    enrolment_pb2,
    enrolment_pb2_grpc,
    orders_pb2,
    session_pb2,
    session_pb2_grpc,
    types_pb2,
)

SECONDS = 10.0
"""How long anything may take before a test fails."""


@dataclass
class Offset:
    """The machine's clock, moved by as much as a test says."""

    offset: timedelta = timedelta(0)

    def now(self) -> datetime:
        return SystemClock().now() + self.offset

    def monotonic(self) -> float:
        return SystemClock().monotonic() + self.offset.total_seconds()

    async def sleep(self, seconds: float) -> None:
        await SystemClock().sleep(seconds)


def settings_in(folder: Path) -> CoordinatorSettings:
    anywhere = ListenerSettings("127.0.0.1:0", "vault.test:7401")
    return CoordinatorSettings(
        VaultSettings(folder / "state", folder / "passphrase"), anywhere, anywhere, anywhere
    )


@dataclass
class Answer:
    status: int
    body: dict[str, Any]
    content_type: str
    headers: Mapping[str, str]

    @property
    def location(self) -> str | None:
        return self.headers.get("Location")

    @property
    def items(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.body["items"]
        return items


@dataclass
class RunningVault:
    ports: Ports
    vault_id: str
    root: bytes
    operator: Credentials
    clock: Offset
    folder: Path

    @property
    def peer_name(self) -> str:
        return dns_name(Role.VAULT, self.vault_id, self.vault_id)

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        credentials: Credentials | None = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        tls = client_tls(credentials or self.operator)
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session,
            session.request(
                method,
                f"https://127.0.0.1:{self.ports.api}/api/v1{path}",
                data=data,
                headers=headers,
                ssl=tls,
                server_hostname=self.peer_name,
            ) as response,
        ):
            return Answer(
                response.status,
                await response.json(content_type=None),
                response.content_type,
                response.headers,
            )

    async def get(self, path: str) -> dict[str, Any]:
        answer = await self.call("GET", path)
        assert answer.status == 200, answer
        return answer.body

    async def post(self, path: str, body: object) -> dict[str, Any]:
        answer = await self.call("POST", path, body)
        assert answer.status in {200, 201, 202}, answer
        return answer.body

    async def ensure_site(self, site: str) -> None:
        answer = await self.call("POST", "/sites", {"name": site})
        assert answer.status == 201 or answer.body["code"] == "site-name-taken", answer

    async def new_operator(self, name: str, role: str) -> Credentials:
        """Make an operator and return what it asks with."""
        key = generate_private_key()
        request = base64.b64encode(signing_request(key)).decode()
        body = {"name": name, "role": role, "certificate_signing_request": request}
        made = await self.post("/operators", body)
        return Credentials(
            made["certificate_chain"].encode(), key, made["root_certificate"].encode()
        )

    async def renew(self, credentials: Credentials) -> Credentials:
        """Return other credentials of the same operator, asked for with these."""
        key = generate_private_key()
        request = base64.b64encode(signing_request(key)).decode()
        answer = await self.call(
            "POST",
            "/operators/self/renew",
            {"certificate_signing_request": request},
            credentials=credentials,
        )
        assert answer.status == 201, answer
        return Credentials(
            answer.body["certificate_chain"].encode(), key, credentials.root_certificate
        )

    async def join_line(self, site: str, **more: Any) -> str:
        await self.ensure_site(site)
        line: str = (await self.post("/host-invitations", {"site": site, **more}))["join_line"]
        return line

    async def enrol(
        self,
        line: str,
        name: str,
        key: bytes,
        *,
        request: bytes | None = None,
        existing_host_id: str = "",
    ) -> enrolment_pb2.EnrolResponse:
        parts = parse_join_line(line)
        async with open_enrolment_channel(
            f"127.0.0.1:{self.ports.enrolment}",
            peer_name=self.peer_name,
            root_certificate=self.root,
        ) as channel:
            stub = enrolment_pb2_grpc.EnrolmentServiceStub(channel)
            return await stub.Enrol(
                enrolment_pb2.EnrolRequest(
                    key_id=parts.key_id,
                    secret=parts.secret,
                    certificate_signing_request=request or signing_request(key),
                    host_name=name,
                    cloud="gold",
                    existing_host_id=existing_host_id,
                ),
                timeout=SECONDS,
            )

    async def readmit(self, host: "FakeHost", *, existing_host_id: str = "") -> "FakeHost":
        """Readmit a host and let it join again; return it with its new certificate."""
        line = (await self.post(f"/hosts/{host.id}/readmit", {"reason": "examined"}))["join_line"]
        key = generate_private_key()
        answer = await self.enrol(line, host.name, key, existing_host_id=existing_host_id)
        assert answer.host_id == host.id
        return host.with_credentials(
            Credentials(answer.certificate_chain, key, answer.root_certificate)
        )

    async def add_host(self, name: str, site: str) -> "FakeHost":
        key = generate_private_key()
        answer = await self.enrol(await self.join_line(site), name, key)
        credentials = Credentials(answer.certificate_chain, key, answer.root_certificate)
        return FakeHost(answer.host_id, name, credentials)


def machinery_with(clock: Clock, worker: ThreadWorker) -> Machinery:
    return Machinery(SystemFiles(), clock, SystemRandomness(), worker)


async def make_vault(folder: Path) -> None:
    worker = ThreadWorker("test", threads=1)
    try:
        founding = Founding("home", "ann", folder / "profile", "127.0.0.1:7403")
        machinery = machinery_with(SystemClock(), worker)
        await found_vault(machinery, daemon.state_directory(settings_in(folder)), founding)
    finally:
        worker.close()


@asynccontextmanager
async def running(folder: Path, clock: Offset | None = None) -> AsyncIterator[RunningVault]:
    """Run the coordinator of a folder until the block is left."""
    clock = clock or Offset()
    worker = ThreadWorker("test", threads=1)
    stopping = asyncio.Event()
    ready: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        daemon.run(
            settings_in(folder), machinery_with(clock, worker), stopping, ready=ready.set_result
        )
    )
    try:
        started: list[asyncio.Future[Any]] = [task, ready]
        await asyncio.wait(started, return_when=asyncio.FIRST_COMPLETED, timeout=SECONDS)
        if not ready.done():
            await task
        operator = load_credentials(SystemFiles(), folder / "profile")
        yield RunningVault(
            ready.result(),
            operator.caller.vault_id,
            operator.root_certificate,
            operator,
            clock,
            folder,
        )
    finally:
        stopping.set()
        await asyncio.wait({task}, timeout=SECONDS)
        ready.cancel()
        worker.close()
    await task


def machine(name: str, machine_id: str, *networks: str) -> MachineDescription:
    return MachineDescription(
        machine_id=machine_id,
        name=name,
        hardware_generation=2,
        processors=2,
        memory_bytes=1 << 30,
        firmware="uefi",
        disks=(Disk("disk-1", "system.vhdx", 1 << 30, 512, "scsi", 0, 0),),
        nics=tuple(
            NetworkAdapter(f"nic-{at}", f"Adapter {at}", "00155d010203", network)
            for at, network in enumerate(networks)
        ),
    )


def inventory(
    machines: list[MachineDescription], networks: dict[str, bool]
) -> session_pb2.Inventory:
    return session_pb2.Inventory(
        machines=[
            types_pb2.Machine(
                machine_id=item.machine_id,
                name=item.name,
                description=item.to_json(),
                is_running=True,
            )
            for item in machines
        ],
        networks=[
            types_pb2.Network(name=name, is_isolated=is_isolated, subnets=["10.0.0.0/24"])
            for name, is_isolated in networks.items()
        ],
    )


def decided(order: orders_pb2.Order) -> orders_pb2.Order:
    """Return what was decided of an order, without what is added anew whenever it is sent."""
    same = orders_pb2.Order()
    same.CopyFrom(order)
    same.ClearField("control_version")
    same.ClearField("control_digest")
    same.accept_replica.ClearField("grant")
    return same


def point(
    generation: str, sequence: int, started: datetime | None = None, digest: bytes = b"d" * 32
) -> types_pb2.RecoveryPoint:
    started = started or datetime.now(UTC)
    message = types_pb2.RecoveryPoint(
        generation=generation,
        sequence=sequence,
        kind=types_pb2.POINT_KIND_CRASH_CONSISTENT,
        payload_bytes=4096,
        chain_digest=digest,
    )
    message.capture_started_at.FromDatetime(started)
    message.capture_ended_at.FromDatetime(started + timedelta(milliseconds=20))
    message.sealed_at.FromDatetime(started + timedelta(milliseconds=90))
    return message


@dataclass
class FakeHost:
    """A registered host; `session` opens its conversation with the vault."""

    id: str
    name: str
    credentials: Credentials
    facts: types_pb2.HostFacts = field(default_factory=types_pb2.HostFacts)

    def __post_init__(self) -> None:
        self.facts = types_pb2.HostFacts(
            name=self.name,
            cloud="gold",
            hypervisor="simulated",
            agent_version="0.1.0",
            replication_address=f"{self.name}.test:7410",
            minimum_copy_interval_ms=1000,
        )

    def with_credentials(self, credentials: Credentials) -> "FakeHost":
        return replace(self, credentials=credentials)

    @asynccontextmanager
    async def session(
        self, vault: RunningVault, *, control_version: int = 0, **more: Any
    ) -> AsyncIterator["FakeSession"]:
        """Open a session and greet, with `more` in the Hello; the welcome is the first message to receive."""
        channel = open_channel(
            f"127.0.0.1:{vault.ports.session}",
            peer_name=vault.peer_name,
            credentials=self.credentials,
        )
        async with channel:
            call = session_pb2_grpc.HostSessionServiceStub(channel).Session()
            try:
                session = FakeSession(self, call)
                hello = session_pb2.Hello(facts=self.facts, control_version=control_version, **more)
                await session.send(hello=hello)
                yield session
            finally:
                call.cancel()

    async def renewed(self, vault: RunningVault, *, key: bytes | None = None) -> "FakeHost":
        """Return the host with another certificate, asked for with the present one."""
        key = key or generate_private_key()
        channel = open_channel(
            f"127.0.0.1:{vault.ports.session}",
            peer_name=vault.peer_name,
            credentials=self.credentials,
        )
        async with channel:
            request = session_pb2.RenewCertificateRequest(
                certificate_signing_request=signing_request(key)
            )
            stub = session_pb2_grpc.HostSessionServiceStub(channel)
            answer = await stub.RenewCertificate(request, timeout=SECONDS)
        root = self.credentials.root_certificate
        return self.with_credentials(Credentials(answer.certificate_chain, key, root))

    @asynccontextmanager
    async def welcomed(self, vault: RunningVault, **more: Any) -> AsyncIterator["FakeSession"]:
        """Open a session that the vault has welcomed."""
        async with self.session(vault, **more) as session:
            await session.expect("welcome")
            yield session


@dataclass
class FakeSession:
    host: FakeHost
    call: Any

    async def send(self, **message: Any) -> None:
        async with asyncio.timeout(SECONDS):
            await self.call.write(session_pb2.SessionRequest(**message))

    async def receive(self) -> session_pb2.SessionResponse:
        async with asyncio.timeout(SECONDS):
            message = await self.call.read()
        if message is grpc.aio.EOF:
            raise EOFError(await self.call.code())
        assert isinstance(message, session_pb2.SessionResponse)
        return message

    async def expect(self, kind: str) -> Any:
        """Return the next message, which must be of this kind."""
        message = await self.receive()
        assert message.WhichOneof("message") == kind, message
        return getattr(message, kind)

    async def refusal(self) -> tuple[grpc.StatusCode, str]:
        """Return how the vault ended the session."""
        try:
            while True:
                await self.receive()
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details() or ""

    async def settled(self) -> None:
        """Return when the vault has taken in everything that was sent before."""
        await self.send(heartbeat=session_pb2.Heartbeat(number=77))
        while (message := await self.receive()).WhichOneof("message") != "heartbeat":
            assert message.WhichOneof("message") != "order", message

    async def order(self) -> orders_pb2.Order:
        order = await self.expect("order")
        assert isinstance(order, orders_pb2.Order)
        return order

    async def finish(self, order: orders_pb2.Order, **result: Any) -> None:
        """Report an outcome and take in that it was accepted."""
        result = result or {"done": orders_pb2.Done()}
        await self.send(outcome=orders_pb2.OrderOutcome(order_id=order.order_id, **result))
        accepted = await self.expect("outcome_accepted")
        assert accepted.order_id == order.order_id

    async def report_points(
        self, protection: str, generation: str, *points: Any, complete: bool = False, **more: Any
    ) -> session_pb2.RecoveryPointReport:
        report = session_pb2.RecoveryPointReport(
            protection_id=protection,
            generation=generation,
            points=points,
            covers_from=1 if complete else 0,
            covers_to=2**63 - 1 if complete else 0,
            number=5,
            **more,
        )
        await self.send(points=report)
        return report
