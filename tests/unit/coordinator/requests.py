"""REST requests without a network."""

import json
from types import SimpleNamespace
from typing import Any

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from replikera.identity import Credentials


def request(
    method: str = "GET",
    path: str = "/",
    body: object = None,
    *,
    raw: bytes | None = None,
    headers: dict[str, str] | None = None,
    **match_info: str,
) -> web.Request:
    made = make_mocked_request(method, path, headers, match_info=match_info)
    content = raw if raw is not None else json.dumps(body).encode() if body is not None else b""
    made._read_bytes = content
    return made


class Connection:
    """What TLS tells of a peer."""

    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials

    def getpeercert(self, *, binary_form: bool) -> bytes | None:
        assert binary_form
        if self._credentials is None:
            return None
        leaf = x509.load_pem_x509_certificate(self._credentials.certificate_chain)
        return leaf.public_bytes(Encoding.DER)


def request_of(
    credentials: Credentials | None,
    method: str = "GET",
    path: str = "/",
    body: object = None,
    *,
    tls: bool = True,
    headers: dict[str, str] | None = None,
) -> web.Request:
    """Return a request over a connection with this peer."""
    connection = Connection(credentials) if tls else None
    transport = SimpleNamespace(
        get_extra_info=lambda name, default=None: _info(name, connection, default)
    )
    made = make_mocked_request(method, path, headers, transport=transport)
    made._read_bytes = json.dumps(body).encode() if body is not None else b""
    return made


def _info(name: str, connection: Connection | None, default: Any) -> Any:
    return connection if name == "ssl_object" else default


def body_of(response: web.StreamResponse) -> Any:
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    return json.loads(response.body)
