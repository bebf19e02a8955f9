"""The served end of replication conversations: hosts of the vault alone, for as long as they are trusted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import grpc.aio

from replikera.channel.callers import (
    ChannelRefusedError,
    RpcContext,
    caller_of,
    require_trusted,
    until_distrusted,
)
from replikera.channel.limits import REPLICATION_METHOD
from replikera.denials import Denials
from replikera.identity import Caller, Role
from replikera.ports.streams import MessageStream, StreamClosedError

SETTLE_SECONDS = 5.0
"""A call cannot be ended while a message is being written to it."""

_GONE = (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError)


class _ServedStream:
    """The receiving end of a replication conversation."""

    def __init__(self, context: RpcContext, peer: str) -> None:
        self._context = context
        self._peer = peer
        self._writing: asyncio.Future[None] | None = None

    @property
    def peer(self) -> str:
        return self._peer

    async def send(self, message: bytes) -> None:
        # Shielded: gRPC's own write goes on when its caller is cancelled, and whoever ends the call must know of it.
        self._writing = asyncio.ensure_future(self._context.write(message))
        try:
            await asyncio.shield(self._writing)
        except _GONE as error:
            raise StreamClosedError(f"host {self._peer} went away: {error}") from error

    async def settle(self) -> None:
        """Return when no write is under way, or after `SETTLE_SECONDS`: a peer that does not read may hold one up."""
        if self._writing is not None:
            await asyncio.wait((self._writing,), timeout=SETTLE_SECONDS)

    async def receive(self) -> bytes:
        try:
            message = await self._context.read()
        except _GONE as error:
            raise StreamClosedError(f"host {self._peer} went away: {error}") from error
        if not isinstance(message, bytes):
            raise StreamClosedError(f"host {self._peer} ended the conversation")
        return message


def replication_service(
    serve: Callable[[MessageStream], Awaitable[None]], denials: Denials, vault_id: str
) -> grpc.GenericRpcHandler:
    """Return the handler of `ReplicationService`: messages are passed as bytes.

    Only hosts of the vault are let in, and cut off in the moment in which their certificate expires or is denied.
    `serve` returns to end the conversation.
    """

    async def replicate(_requests: AsyncIterator[bytes], context: RpcContext) -> None:
        try:
            caller = _admitted(context, denials, vault_id)
        except ChannelRefusedError as error:
            await context.abort(error.status, error.details)
        loop = asyncio.get_running_loop()
        stream = _ServedStream(context, caller.name)
        serving = loop.create_task(_converse(serve, stream))
        watching = loop.create_task(until_distrusted(caller, denials))
        try:
            await asyncio.wait((serving, watching), return_when=asyncio.FIRST_COMPLETED)
            await (serving if serving.done() else watching)
        except ChannelRefusedError as error:
            # First the call: gRPC would go on with it, and ending what serves it may have to wait for a disk.
            serving.cancel()
            await stream.settle()
            await context.abort(error.status, error.details)
        finally:
            await _ended(serving, watching)

    _, service, method = REPLICATION_METHOD.split("/")
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(replicate)
    return grpc.method_handlers_generic_handler(service, {method: handler})


def _admitted(context: RpcContext, denials: Denials, vault_id: str) -> Caller:
    caller = caller_of(context)
    if caller.role is not Role.HOST or caller.vault_id != vault_id:
        raise ChannelRefusedError(
            f"only hosts of vault {vault_id} replicate, and this is {caller.uri}",
            status=grpc.StatusCode.PERMISSION_DENIED,
            code="role-not-allowed",
        )
    require_trusted(caller, denials)
    return caller


async def _converse(
    serve: Callable[[MessageStream], Awaitable[None]], stream: MessageStream
) -> None:
    await serve(stream)


async def _ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen: what counts of it was raised before
