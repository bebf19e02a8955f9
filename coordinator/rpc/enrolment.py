"""`EnrolmentService`: how a host becomes known to the vault. The only service without a client certificate."""

from typing import Any

import grpc
import structlog

from coordinator.orchestration.hosts import JoinRequest, join
from coordinator.orchestration.vault import Vault
from coordinator.rpc.errors import StatusError
from coordinator.rpc.guard import Guard
from coordinator.rpc.limiter import RateLimiter
from coordinator.rpc.messages import timestamp
from coordinator.rpc.permissions import ENROLMENT
from replikera.channel import RpcContext
from replikera.wire.v1 import enrolment_pb2

log = structlog.get_logger()


class EnrolmentService:
    """Tells the root certificate and exchanges registration keys for certificates."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._limiter = RateLimiter(vault.clock)

    def register(self, server: grpc.aio.Server) -> None:
        """Serve the methods of this service."""
        guard = Guard(self._vault)
        trust_root = guard.open_call(ENROLMENT, "GetTrustRoot", self._get_trust_root)
        enrol = guard.open_call(ENROLMENT, "Enrol", self._enrol)
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "GetTrustRoot": grpc.unary_unary_rpc_method_handler(
                trust_root,
                request_deserializer=enrolment_pb2.GetTrustRootRequest.FromString,
                response_serializer=enrolment_pb2.GetTrustRootResponse.SerializeToString,
            ),
            "Enrol": grpc.unary_unary_rpc_method_handler(
                enrol,
                request_deserializer=enrolment_pb2.EnrolRequest.FromString,
                response_serializer=enrolment_pb2.EnrolResponse.SerializeToString,
            ),
        }
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(ENROLMENT, handlers),)
        )

    async def _get_trust_root(
        self, _request: enrolment_pb2.GetTrustRootRequest, context: RpcContext
    ) -> enrolment_pb2.GetTrustRootResponse:
        self._check_rate(context)
        root = self._vault.authority.root_certificate
        return enrolment_pb2.GetTrustRootResponse(root_certificate=root)

    async def _enrol(
        self, request: enrolment_pb2.EnrolRequest, context: RpcContext
    ) -> enrolment_pb2.EnrolResponse:
        self._check_rate(context)
        vault = self._vault
        member = await join(
            vault,
            JoinRequest(
                request.key_id,
                request.secret,
                request.certificate_signing_request,
                request.host_name,
                request.cloud,
                request.existing_host_id,
            ),
        )
        log.info(
            "host joined",
            host=member.host_id,
            site=member.site,
            not_after=member.not_after.isoformat(),
        )
        return enrolment_pb2.EnrolResponse(
            host_id=member.host_id,
            vault_id=vault.record.id,
            vault_name=vault.record.name,
            site=member.site,
            certificate_chain=member.certificate_chain,
            root_certificate=vault.authority.root_certificate,
            not_after=timestamp(member.not_after),
            session_address=vault.addresses.session,
        )

    def _check_rate(self, context: RpcContext) -> None:
        address = (context.peer() or "").rpartition(":")[0]
        if not self._limiter.allows(address):
            raise StatusError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "too-many-attempts",
                "There were too many attempts to join.",
                "Wait a minute and try again.",
            )
