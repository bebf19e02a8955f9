"""Who calls: what the connection of a call proves, and for how long it is believed."""

import asyncio
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeAlias

import grpc
import grpc.aio

from replikera.denials import Denials
from replikera.identity import Caller, IdentityError, caller_from_certificate

RpcContext: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_LOOK_SECONDS = 60.0
"""A machine that slept wakes with a later wall time, which no timer of the event loop has seen."""


class ChannelRefusedError(Exception):
    """The peer of a call has no acceptable identity. The text is the cause alone."""

    def __init__(
        self,
        cause: str,
        *,
        status: grpc.StatusCode = grpc.StatusCode.UNAUTHENTICATED,
        code: str = "not-identified",
        remedy: str = "Join the vault: replikera-agent join.",
    ) -> None:
        super().__init__(cause)
        self.status = status
        self.code = code
        self.remedy = remedy

    @property
    def details(self) -> str:
        """Return what the peer is told."""
        return f"{self.code}: {self}. {self.remedy}"


def require_tls13(context: RpcContext) -> None:
    """Refuse a call over anything older. Raises `ChannelRefusedError`."""
    # TLS 1.2 has no suite left to agree on; a gRPC that stopped reading the list of suites would be noticed here.
    if list(context.auth_context().get("ssl_tls_version", ())) != [b"TLSv1.3"]:
        raise ChannelRefusedError("the connection does not use TLS 1.3")


def caller_of(context: RpcContext) -> Caller:
    """Return the identity that the peer of a call proved. Raises `ChannelRefusedError`.

    Whether the certificate is still valid is for `require_trusted`, or the caller, to judge.
    """
    require_tls13(context)
    certificates = list(context.auth_context().get("x509_pem_cert", ()))
    if not certificates:
        raise ChannelRefusedError("the peer presented no certificate")
    try:
        return caller_from_certificate(certificates[0])
    except IdentityError as error:
        raise ChannelRefusedError(f"the peer's certificate names no identity: {error}") from error


def require_trusted(caller: Caller, denials: Denials) -> None:
    """Refuse a caller whose certificate has expired or is denied. Raises `ChannelRefusedError`.

    An old connection, or one that was resumed, carries calls without its certificate being verified again.
    """
    if caller.not_after <= datetime.now(UTC):
        raise _expired(caller)
    if (why := denials.refusal(caller)) is not None:
        raise _denied(why)


async def until_distrusted(caller: Caller, denials: Denials) -> NoReturn:
    """Wait until a caller is not to be served any longer. Raises `ChannelRefusedError` then.

    gRPC itself lets a stream outlive the certificate that it was opened with.
    """
    while (remaining := (caller.not_after - datetime.now(UTC)).total_seconds()) > 0:
        try:
            async with asyncio.timeout(min(remaining, _LOOK_SECONDS)):
                raise _denied(await denials.denied(caller))
        except TimeoutError:
            continue
    raise _expired(caller)


def _expired(caller: Caller) -> ChannelRefusedError:
    return ChannelRefusedError(
        f"the certificate {caller.certificate_id} of {caller.uri} expired "
        f"on {caller.not_after:%Y-%m-%d %H:%M:%S} UTC",
        code="certificate-expired",
        remedy="Let its agent renew it, or readmit the host: replikera host readmit.",
    )


def _denied(why: str) -> ChannelRefusedError:
    return ChannelRefusedError(
        why,
        status=grpc.StatusCode.PERMISSION_DENIED,
        code="certificate-denied",
        remedy="Find out why, and readmit the host: replikera host readmit.",
    )
