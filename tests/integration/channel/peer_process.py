"""A host in a process of its own, to be stopped or killed: it serves one listener, and dials another.

Arguments: its identity folder, the other's host id, the other's address. Prints its port when both ways were used.
"""

import asyncio
import sys
from pathlib import Path

from replikera.channel import (
    REPLICATION_LIMITS,
    GrpcDialler,
    mutual_tls_server,
    replication_service,
)
from replikera.denials import Denials
from replikera.identity import CredentialsHolder, load_credentials
from replikera.ports.streams import MessageStream
from replikera.system.files import SystemFiles


async def _echo(stream: MessageStream) -> None:
    while True:
        await stream.send(await stream.receive())


async def _run(folder: Path, host_id: str, address: str) -> None:
    holder = CredentialsHolder(load_credentials(SystemFiles(), folder))
    service = replication_service(_echo, Denials(), holder.current.caller.vault_id)
    server = mutual_tls_server(
        "127.0.0.1:0",
        holder,
        lambda target: target.add_generic_rpc_handlers((service,)),
        REPLICATION_LIMITS,
    )
    await server.start()
    stream = await GrpcDialler(holder).dial(host_id, address)
    await stream.send(b"hello")
    await stream.receive()
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
