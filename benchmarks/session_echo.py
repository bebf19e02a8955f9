"""A bare grpc.aio echo server behind the listener that sessions use: what no coordinator could undercut.

`python benchmarks/session_echo.py PORT IDENTITY MESSAGE_BYTES STREAMS`, where IDENTITY is the folder of the vault's own
listener credentials, and the others are the limits of its session listener.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import grpc
import grpc.aio

from replikera.channel import Limits, mutual_tls_server
from replikera.identity import CredentialsHolder, load_credentials
from replikera.system.files import SystemFiles
from replikera.wire.v1 import session_pb2

SERVICE = session_pb2.DESCRIPTOR.services_by_name["HostSessionService"].full_name


async def echo(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
    async for request in requests:
        await context.write(request)


def register(server: grpc.aio.Server) -> None:
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(echo)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Session": handler}),)
    )


async def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    limits = Limits(message_bytes=int(sys.argv[3]), concurrent_streams=int(sys.argv[4]))
    holder = CredentialsHolder(load_credentials(SystemFiles(), folder))
    server = mutual_tls_server(f"127.0.0.1:{port}", holder, register, limits)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await server.start()
    await stopping.wait()
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(main())
