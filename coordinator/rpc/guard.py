"""The one door of all calls: who calls, may they, and what becomes of errors."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import grpc
import structlog

from coordinator.domain.errors import DomainError
from coordinator.orchestration.trust import denial
from coordinator.orchestration.vault import Vault
from coordinator.rpc.errors import StatusError, abort, expired, status_error
from coordinator.rpc.permissions import PERMISSIONS
from coordinator.store.errors import StoreError
from replikera.channel import ChannelRefusedError, RpcContext, caller_of, require_tls13
from replikera.identity import Caller

Request = TypeVar("Request")
Response = TypeVar("Response")

log = structlog.get_logger()


class Guard:
    """Lets calls through to handlers. One for all services of a vault."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def open_call(
        self,
        service: str,
        method: str,
        handle: Callable[[Request, RpcContext], Awaitable[Response]],
    ) -> Callable[[Request, RpcContext], Awaitable[Response]]:
        """Return a handler for a method that anybody may call."""
        if PERMISSIONS[service, method] is not None:
            raise ValueError(f"{method} needs a certificate")

        async def guarded(request: Request, context: RpcContext) -> Response:
            async def call() -> Response:
                _proved(context, require_tls13)
                return await handle(request, context)

            return await _mapped(context, method, call())

        return guarded

    def unary_call(
        self,
        service: str,
        method: str,
        handle: Callable[[Caller, Request], Awaitable[Response]],
    ) -> Callable[[Request, RpcContext], Awaitable[Response]]:
        """Return a handler for a question of a caller whose certificate allows it."""

        async def guarded(request: Request, context: RpcContext) -> Response:
            async def call() -> Response:
                return await handle(await self._caller(service, method, context), request)

            return await _mapped(context, method, call())

        return guarded

    def stream_call(
        self,
        service: str,
        method: str,
        handle: Callable[[Caller, AsyncIterator[Request], RpcContext], Awaitable[None]],
    ) -> Callable[[AsyncIterator[Request], RpcContext], Awaitable[None]]:
        """Return a handler for a conversation with a caller whose certificate allows it."""

        async def guarded(requests: AsyncIterator[Request], context: RpcContext) -> None:
            async def call() -> None:
                await handle(await self._caller(service, method, context), requests, context)

            await _mapped(context, method, call())

        return guarded

    async def _caller(self, service: str, method: str, context: RpcContext) -> Caller:
        """Return who calls. Raises `StatusError`, `DomainError`, `StoreError`."""
        roles = PERMISSIONS[service, method]
        caller = _proved(context, caller_of)
        if caller.vault_id != self._vault.record.id or roles is None or caller.role not in roles:
            raise StatusError(
                grpc.StatusCode.PERMISSION_DENIED,
                "role-not-allowed",
                f"A certificate of {caller.role} {caller.name} may not call {method}.",
                "Use the certificate of a host of this vault.",
            )
        # A resumed connection carries calls without its certificate being verified again.
        if caller.not_after <= self._vault.clock.now():
            raise expired(caller)
        if self._vault.denials.refusal(caller) is not None:
            raise await denial(self._vault, caller)
        return caller


def _proved(context: RpcContext, read: Callable[[RpcContext], Response]) -> Response:
    """Return what the connection proves. Raises `StatusError`."""
    try:
        return read(context)
    except ChannelRefusedError as error:
        raise StatusError(error.status, error.code, f"{error}.", error.remedy) from error


async def _mapped(context: RpcContext, method: str, call: Awaitable[Response]) -> Response:
    try:
        return await call
    except StatusError as error:
        log.warning("call refused", method=method, peer=context.peer(), error=str(error))
        await abort(context, error)
    except (DomainError, StoreError) as error:
        refusal = status_error(error)
        log.warning("call refused", method=method, peer=context.peer(), error=str(refusal))
        await abort(context, refusal)
    except grpc.aio.AbortError:
        raise
    except Exception:
        # The root of a call: whatever it is, this call fails loudly and the others go on.
        log.exception("call failed", method=method, peer=context.peer())
        await context.abort(
            grpc.StatusCode.INTERNAL,
            "internal-error: The vault failed. Look at the coordinator's log.",
        )
