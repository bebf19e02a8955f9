"""Strangers at the coordinator's doors: sockets that say nothing, and joins with keys that are none."""

import asyncio
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import grpc
import grpc.aio

from replikera.channel import fetch_trust_root, open_enrolment_channel
from replikera.identity import generate_private_key, signing_request
from replikera.wire.v1 import enrolment_pb2, enrolment_pb2_grpc

_CONNECT_S = 10.0
_CALLS_AT_ONCE = 50
_CALL_S = 30.0


@contextmanager
def silent_sockets(ports: list[int], count: int) -> Iterator[list[socket.socket]]:
    """Open that many connections to the ports by turns, and say nothing on them."""
    with ExitStack() as stack:
        opened = []
        for number in range(count):
            address = ("127.0.0.1", ports[number % len(ports)])
            opened.append(stack.enter_context(socket.create_connection(address, _CONNECT_S)))
        yield opened


async def bad_enrolments(port: int, count: int) -> Counter[grpc.StatusCode]:
    """Try to join with keys that are none, and return how the vault answered."""
    address = f"127.0.0.1:{port}"
    vault = await fetch_trust_root(address)
    request = signing_request(generate_private_key())
    answers: Counter[grpc.StatusCode] = Counter()
    slots = asyncio.Semaphore(_CALLS_AT_ONCE)
    async with open_enrolment_channel(
        address, peer_name=vault.peer_name, root_certificate=vault.root_certificate
    ) as channel:
        stub = enrolment_pb2_grpc.EnrolmentServiceStub(channel)

        async def knock(number: int) -> None:
            message = enrolment_pb2.EnrolRequest(
                key_id=f"{number:016x}",
                secret="x" * 43,
                certificate_signing_request=request,
                host_name=f"stranger-{number}",
            )
            async with slots:
                try:
                    await stub.Enrol(message, timeout=_CALL_S)
                except grpc.aio.AioRpcError as error:
                    answers[error.code()] += 1
                else:
                    answers[grpc.StatusCode.OK] += 1

        async with asyncio.TaskGroup() as tasks:
            for number in range(count):
                tasks.create_task(knock(number))
    return answers
