"""Listeners. Every new connection is shown the newest certificate of the holder; running ones keep theirs."""

from collections.abc import Callable
from typing import cast

import grpc
import grpc.aio

from replikera.channel.limits import ENROLMENT_LIMITS, Limits, server_options
from replikera.identity import Credentials, CredentialsHolder


class Server:
    """A listener. `address` is "host:port"; port 0 takes a free one, told by `port` after `start`."""

    def __init__(
        self,
        address: str,
        credentials: grpc.ServerCredentials,
        register: Callable[[grpc.aio.Server], None],
        limits: Limits,
    ) -> None:
        self._server = grpc.aio.server(options=server_options(limits))
        register(self._server)
        try:
            self.port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise _cannot_listen(address) from error
        if self.port == 0:
            raise _cannot_listen(address)

    async def start(self) -> None:
        """Accept connections."""
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Refuse new calls, give the running ones `grace` seconds, end them."""
        await self._server.stop(grace)


def _cannot_listen(address: str) -> OSError:
    # gRPC's own text only says that it failed, and how to log more.
    return OSError(f"cannot listen on {address}: the address is in use, or not one of this machine")


def mutual_tls_server(
    address: str,
    holder: CredentialsHolder,
    register: Callable[[grpc.aio.Server], None],
    limits: Limits,
) -> Server:
    """Return a listener that demands a certificate of the vault from every caller."""
    return Server(address, _newest(holder, asks_caller=True), register, limits)


def enrolment_server(
    address: str, holder: CredentialsHolder, register: Callable[[grpc.aio.Server], None]
) -> Server:
    """Return a listener that proves itself and asks no certificate of the caller."""
    return Server(address, _newest(holder, asks_caller=False), register, ENROLMENT_LIMITS)


def _newest(holder: CredentialsHolder, *, asks_caller: bool) -> grpc.ServerCredentials:
    served = _ServedCertificate(holder, asks_caller=asks_caller)
    # gRPC takes None for "not changed", which its types do not know.
    changed = cast("Callable[[], grpc.ServerCertificateConfiguration]", served.changed)
    return grpc.dynamic_ssl_server_credentials(
        served.newest, changed, require_client_authentication=asks_caller
    )


class _ServedCertificate:
    """The certificate as gRPC wants it, prepared once for each replacement.

    gRPC asks `changed` at every handshake, on a thread of its own.
    """

    def __init__(self, holder: CredentialsHolder, *, asks_caller: bool) -> None:
        self._asks_caller = asks_caller
        self.newest = self._served = self._prepared(holder.current)
        holder.subscribe(self._replace)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the newest configuration, None where it is the one that is served already."""
        newest = self.newest
        if newest is self._served:
            return None
        self._served = newest
        return newest

    def _replace(self, credentials: Credentials) -> None:
        self.newest = self._prepared(credentials)

    def _prepared(self, credentials: Credentials) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(credentials.private_key, credentials.certificate_chain)],
            root_certificates=credentials.root_certificate if self._asks_caller else None,
        )
