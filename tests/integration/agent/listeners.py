"""Enrolment listeners that answer what a test says, and note every secret that they are given."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from typing_extensions import override

from replikera.channel import RpcContext, enrolment_server
from replikera.enrolment import JoinLine
from replikera.identity import Role, dns_name, root_fingerprint, uri_name
from replikera.wire.v1 import enrolment_pb2, enrolment_pb2_grpc
from tests.support.authority import VAULT_ID, Authority, pem

SECRET = "s" * 43
KEY_ID = "0" * 16

Answer: TypeAlias = Callable[[enrolment_pb2.EnrolRequest], enrolment_pb2.EnrolResponse]


def certificate_for(
    authority: Authority,
    signing_request: bytes,
    host_id: str,
    *,
    valid_for: timedelta = timedelta(days=7),
) -> bytes:
    """Return a certificate for the key of the request."""
    key = x509.load_der_x509_csr(signing_request).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    now = datetime.now(UTC)
    leaf = authority.leaf(
        key,
        [uri_name(Role.HOST, host_id, VAULT_ID)],
        dns=dns_name(Role.HOST, host_id, VAULT_ID),
        validity=(now - timedelta(minutes=1), now + valid_for),
    )
    return pem(leaf)


def membership_of(
    authority: Authority, host_id: str, request: enrolment_pb2.EnrolRequest
) -> enrolment_pb2.EnrolResponse:
    """Return what a vault answers to a key that is good."""
    chain = certificate_for(authority, request.certificate_signing_request, host_id)
    return enrolment_pb2.EnrolResponse(
        host_id=host_id,
        vault_id=VAULT_ID,
        vault_name="home",
        site="a",
        certificate_chain=chain,
        root_certificate=authority.root_pem,
        session_address="vault.test:7401",
    )


class Recorder(enrolment_pb2_grpc.EnrolmentServiceServicer):
    """An enrolment listener that answers any root and notes every secret that it is given."""

    def __init__(self, root: bytes, answer: Answer | None) -> None:
        self._root = root
        self._answer = answer
        self.requests: list[enrolment_pb2.EnrolRequest] = []

    @override
    async def GetTrustRoot(
        self, request: enrolment_pb2.GetTrustRootRequest, context: RpcContext
    ) -> enrolment_pb2.GetTrustRootResponse:
        return enrolment_pb2.GetTrustRootResponse(root_certificate=self._root)

    @override
    async def Enrol(
        self, request: enrolment_pb2.EnrolRequest, context: RpcContext
    ) -> enrolment_pb2.EnrolResponse:
        self.requests.append(request)
        if self._answer is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the store is away")
        return self._answer(request)

    @property
    def secrets(self) -> list[str]:
        return [request.secret for request in self.requests]


@asynccontextmanager
async def listener(
    authority: Authority,
    root: bytes,
    *,
    role: Role = Role.VAULT,
    name: str = VAULT_ID,
    answer: Answer | None = None,
) -> AsyncIterator[tuple[Recorder, JoinLine]]:
    recorder = Recorder(root, answer)

    def register(server: grpc.aio.Server) -> None:
        enrolment_pb2_grpc.add_EnrolmentServiceServicer_to_server(recorder, server)

    server = enrolment_server("127.0.0.1:0", authority.holder(role, name), register)
    await server.start()
    fingerprint = root_fingerprint(authority.root_pem)
    try:
        yield recorder, JoinLine(KEY_ID, SECRET, f"127.0.0.1:{server.port}", fingerprint)
    finally:
        await server.stop(0)
