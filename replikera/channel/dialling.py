"""The dialling end of replication conversations."""

import asyncio

import grpc
import grpc.aio

from replikera.channel import limits
from replikera.channel.clients import open_channel
from replikera.identity import CredentialsHolder, Role, dns_name
from replikera.ports.streams import StreamClosedError


class DialledStream:
    """The sending end of a replication conversation, with the channel it runs on."""

    def __init__(self, channel: grpc.aio.Channel, peer: str) -> None:
        self._channel = channel
        self._peer = peer
        self._call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(
            limits.REPLICATION_METHOD
        )()

    @property
    def peer(self) -> str:
        """Return the host that was dialled."""
        return self._peer

    async def send(self, message: bytes) -> None:
        """Send one message; see `replikera.ports.streams.MessageStream`."""
        try:
            await self._call.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            raise StreamClosedError(self._ended(error)) from error

    async def receive(self) -> bytes:
        """Return the next message; see `replikera.ports.streams.MessageStream`."""
        try:
            message = await self._call.read()
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            raise StreamClosedError(self._ended(error)) from error
        if not isinstance(message, bytes):
            raise StreamClosedError(f"host {self._peer} ended the conversation")
        return message

    async def close(self) -> None:
        """End the conversation and its channel."""
        self._call.cancel()
        await self._channel.close()

    async def failure_to_connect(self) -> str | None:
        """Wait until the connection stands; return why it does not, None if it does."""
        loop = asyncio.get_running_loop()
        standing = loop.create_task(self._channel.channel_ready())
        # The call, begun already, ends with the reason that the channel keeps to itself.
        ended = loop.create_task(self._call.code())
        try:
            await asyncio.wait(
                (standing, ended),
                timeout=limits.CONNECT_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not standing.done() and not ended.done():
                return "it does not answer"
            # Whoever refuses a call has been reached: the first message tells the refusal.
            is_reached = standing.done() or ended.result() is not grpc.StatusCode.UNAVAILABLE
            return None if is_reached else await self._call.details()
        finally:
            standing.cancel()
            ended.cancel()

    def _ended(self, error: Exception) -> str:
        details = error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error)
        return f"the conversation with host {self._peer} ended: {details}"


class GrpcDialler:
    """Opens replication conversations over mutual TLS with the newest identity of this host."""

    def __init__(self, holder: CredentialsHolder) -> None:
        self._holder = holder

    async def dial(self, host_id: str, address: str) -> DialledStream:
        """Connect to the agent of `host_id`; see `replikera.ports.streams.Dialler`."""
        credentials = self._holder.current
        peer_name = dns_name(Role.HOST, host_id, credentials.caller.vault_id)
        channel = open_channel(address, peer_name=peer_name, credentials=credentials)
        stream = DialledStream(channel, host_id)
        try:
            failure = await stream.failure_to_connect()
        except BaseException:
            await stream.close()
            raise
        if failure is not None:
            await stream.close()
            raise StreamClosedError(f"host {host_id} cannot be reached at {address}: {failure}")
        return stream
