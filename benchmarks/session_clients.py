"""Many simulated agents in one process: each has its own certificate, channel and stream.

`python benchmarks/session_clients.py CROWD PORT`, steered by JSON lines: {"do": "connect"}, {"do": "rest", "seconds":
25}, {"do": "storm"}, {"do": "quit"}; every line is answered by one line.
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import grpc
import grpc.aio

from benchmarks.session_crowd import Crowd, Identity
from replikera.channel import open_channel
from replikera.identity import Credentials, Role, dns_name
from replikera.wire.v1 import session_pb2, types_pb2

SERVICE = session_pb2.DESCRIPTOR.services_by_name["HostSessionService"].full_name
HEARTBEAT_S = 5.0
DIALS_AT_ONCE = 64
"""While the crowd comes the first time; in a storm nobody waits for anybody."""

BROKEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL)
"""A connection that was cut in its handshake, by the server's own bound of five seconds for instance."""

ANSWER_S = 120.0
RETRY_S = 0.2


@dataclass(frozen=True)
class Listener:
    """Where the agents dial, and whom they expect there."""

    address: str
    peer_name: str
    root: bytes


class SimulatedAgent:
    """A host's session: hello, welcome, heartbeats."""

    def __init__(self, listener: Listener, identity: Identity, number: int) -> None:
        self._listener = listener
        self._credentials = Credentials(
            identity.certificate_chain.encode(), identity.private_key.encode(), listener.root
        )
        self._hello = _hello(f"host-{number:05}")
        self._beats = 0
        self._channel: grpc.aio.Channel | None = None
        self._call: Any = None
        self.redials = 0

    async def dial(self) -> None:
        """Return once a first heartbeat was answered; dial again when the connection fails."""
        while True:
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._open()
                    await self.beat()
            except grpc.aio.AioRpcError as error:
                if error.code() not in BROKEN:
                    raise
                self.redials += 1
                await self.close()
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def beat(self) -> float:
        """Send a heartbeat and return the seconds until its answer."""
        self._beats += 1
        heartbeat = session_pb2.Heartbeat(number=self._beats)
        # The echo and the coordinator's answer are the same bytes on the wire.
        message = session_pb2.SessionRequest(heartbeat=heartbeat).SerializeToString()
        begun = time.perf_counter()
        await self._call.write(message)
        while (answer := await self._call.read()) != message:
            if answer is grpc.aio.EOF:
                raise EOFError(await self._call.code())
        return time.perf_counter() - begun

    async def beats(self, first: float, until: float) -> list[float]:
        """Beat every five seconds from `first` on, and return all round trips."""
        found, due = [], first
        while due < until:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            found.append(await self.beat())
            due += HEARTBEAT_S
        return found

    def cut(self) -> None:
        self._call.cancel()

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def _open(self) -> None:
        self._channel = open_channel(
            self._listener.address,
            peer_name=self._listener.peer_name,
            credentials=self._credentials,
        )
        self._call = self._channel.stream_stream(f"/{SERVICE}/Session")()
        await self._call.write(self._hello)
        await self._call.read()


def _hello(name: str) -> bytes:
    facts = types_pb2.HostFacts(
        name=name,
        cloud="",
        hypervisor="simulated",
        agent_version="0.1.0",
        replication_address=f"{name}.test:7410",
        minimum_copy_interval_ms=1000,
    )
    # A later process is a later run of the same hosts, or the vault takes it for a copy of them.
    hello = session_pb2.Hello(facts=facts, start_count=int(time.time()), run_id=str(uuid.uuid4()))
    return session_pb2.SessionRequest(hello=hello).SerializeToString()


class Agents:
    """The agents of this process."""

    def __init__(self, crowd: Crowd, port: int) -> None:
        peer = dns_name(Role.VAULT, crowd.vault_id, crowd.vault_id)
        listener = Listener(f"127.0.0.1:{port}", peer, crowd.root_certificate.encode())
        self._agents = [
            SimulatedAgent(listener, identity, number)
            for number, identity in enumerate(crowd.identities)
        ]

    async def connect(self) -> dict[str, object]:
        slots = asyncio.Semaphore(DIALS_AT_ONCE)

        async def dial(agent: SimulatedAgent) -> None:
            async with slots:
                await agent.dial()

        await _all(dial(agent) for agent in self._agents)
        return {"redials": self._redials()}

    async def rest(self, seconds: float) -> dict[str, object]:
        begun = time.perf_counter()
        step = HEARTBEAT_S / len(self._agents)
        found = await asyncio.gather(
            *(
                agent.beats(begun + at * step, begun + seconds)
                for at, agent in enumerate(self._agents)
            )
        )
        return {"round_trips": [trip for trips in found for trip in trips]}

    async def storm(self) -> dict[str, object]:
        before = self._redials()
        for agent in self._agents:
            agent.cut()
        await _all(agent.close() for agent in self._agents)
        begun = time.perf_counter()
        await _all(agent.dial() for agent in self._agents)
        return {
            "seconds": time.perf_counter() - begun,
            "redials": self._redials() - before,
        }

    async def close(self) -> None:
        await _all(agent.close() for agent in self._agents)

    def _redials(self) -> int:
        return sum(agent.redials for agent in self._agents)


async def _all(deeds: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*deeds)


async def main() -> None:
    agents = Agents(Crowd.load(Path(sys.argv[1])), int(sys.argv[2]))
    loop = asyncio.get_running_loop()
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        order = json.loads(line or '{"do": "quit"}')
        if order["do"] == "quit":
            await agents.close()
            return
        match order["do"]:
            case "connect":
                answer = await agents.connect()
            case "rest":
                answer = await agents.rest(order["seconds"])
            case "storm":
                answer = await agents.storm()
            case other:
                raise ValueError(other)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
