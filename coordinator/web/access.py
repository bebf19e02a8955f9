"""Who asks: the identity in the certificate of the connection. Only operators of this vault are let in."""

import ssl

from aiohttp import web

from coordinator.domain.errors import ForbiddenError
from coordinator.domain.identifiers import VaultId
from replikera.identity import Caller, IdentityError, Role, caller_from_certificate

_REMEDY = "Use the certificate of an operator of this vault."


def operator_caller(request: web.Request, vault_id: VaultId) -> Caller:
    """Return the operator's identity that the connection proved. Raises `ForbiddenError`."""
    caller = _caller(request)
    if caller.vault_id != vault_id or caller.role is not Role.OPERATOR:
        raise ForbiddenError(
            "role-not-allowed",
            f"A certificate of {caller.role} {caller.name} may not use this.",
            _REMEDY,
        )
    return caller


def check_origin(request: web.Request) -> None:
    """Refuse what a page of somebody else has a browser send with the operator's certificate."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    origin = request.headers.get("Origin")
    is_own = origin is None or origin == f"https://{request.host}"
    if site not in {"none", "same-origin"} or not is_own:
        raise ForbiddenError(
            "cross-site-request",
            f"The request comes from a page of {origin or 'another site'}.",
            "Use the replikera command.",
        )


def _caller(request: web.Request) -> Caller:
    connection = request.get_extra_info("ssl_object")
    certificate = connection.getpeercert(binary_form=True) if connection is not None else None
    try:
        return caller_from_certificate(ssl.DER_cert_to_PEM_cert(certificate or b"").encode())
    except IdentityError as error:
        raise ForbiddenError(
            "not-identified", f"Who asks is not known: {error}.", _REMEDY
        ) from error
