"""The one door of all calls: who calls, may they, and what becomes of errors."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import grpc
import structlog

from coordinator.domain.errors import DomainError
from coordinator.domain.identifiers import VaultId
from coordinator.rpc.errors import StatusError, abort, status_error
from coordinator.rpc.permissions import PERMISSIONS
from coordinator.store.errors import StoreError
from replikera.channel import ChannelRefusedError, RpcContext, caller_of
from replikera.identity import Caller

Request = TypeVar("Request")
Response = TypeVar("Response")

log = structlog.get_logger()


class Guard:
    """Lets calls through to handlers. One for all services of a vault."""

    def __init__(self, vault_id: VaultId) -> None:
        self._vault_id = vault_id

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
            return await _mapped(context, method, handle(request, context))

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
                await handle(self._caller(service, method, context), requests, context)

            await _mapped(context, method, call())

        return guarded

    def _caller(self, service: str, method: str, context: RpcContext) -> Caller:
        roles = PERMISSIONS[service, method]
        try:
            caller = caller_of(context)
        except ChannelRefusedError as error:
            raise StatusError(
                grpc.StatusCode.UNAUTHENTICATED,
                "not-identified",
                f"{error}.",
                "Join the vault: replikera-agent join.",
            ) from error
        if caller.vault_id != self._vault_id or roles is None or caller.role not in roles:
            raise StatusError(
                grpc.StatusCode.PERMISSION_DENIED,
                "role-not-allowed",
                f"A certificate of {caller.role} {caller.name} may not call {method}.",
                "Use the certificate of a host of this vault.",
            )
        return caller


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
