"""Who asks: the identity in the certificate of the connection, and whether the route is open to its role."""

import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from coordinator.domain.errors import ForbiddenError
from coordinator.domain.identifiers import VaultId
from replikera.identity import Caller, IdentityError, Role, caller_from_certificate

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CALLER = web.RequestKey("caller", Caller)


def guarded(vault_id: VaultId, roles: frozenset[Role], handler: Handler) -> Handler:
    """Return the handler behind a check of the caller's role."""

    async def guard(request: web.Request) -> web.StreamResponse:
        caller = _caller(request)
        if caller.vault_id != vault_id or caller.role not in roles:
            raise ForbiddenError(
                "role-not-allowed",
                f"A certificate of {caller.role} {caller.name} may not use this.",
                "Use the certificate of an operator of this vault.",
            )
        request[CALLER] = caller
        return await handler(request)

    return guard


def _caller(request: web.Request) -> Caller:
    connection = request.get_extra_info("ssl_object")
    certificate = connection.getpeercert(binary_form=True) if connection is not None else None
    try:
        return caller_from_certificate(ssl.DER_cert_to_PEM_cert(certificate or b"").encode())
    except IdentityError as error:
        raise ForbiddenError(
            "not-identified",
            f"Who asks is not known: {error}.",
            "Use the certificate of an operator of this vault.",
        ) from error
