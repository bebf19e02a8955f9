"""One message of a host: what it leads to, and what is answered."""

from coordinator.domain.errors import InvalidValueError
from coordinator.domain.identifiers import HostId, OrderId
from coordinator.orchestration.host_messages import (
    receive_points,
    receive_progress,
    receive_replication,
    replace_inventory,
)
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.presence import HostSession
from coordinator.orchestration.vault import Vault
from coordinator.rpc import translate
from replikera.wire.v1 import orders_pb2, session_pb2

Answer = session_pb2.SessionResponse


async def react(
    vault: Vault, session: HostSession, request: session_pb2.SessionRequest
) -> Answer | None:
    """Carry out what a host's message says; return the answer, None where none is due.

    Raises `DomainError` and `StoreError`.
    """
    host_id = session.host_id
    match request.WhichOneof("message"):
        case "heartbeat":
            number = request.heartbeat.number
            return Answer(heartbeat=session_pb2.HeartbeatAnswer(number=number))
        case "inventory":
            await replace_inventory(vault, host_id, translate.inventory(host_id, request.inventory))
        case "progress":
            await receive_progress(vault, host_id, translate.progress(request.progress))
        case "outcome":
            return await _take_outcome(vault, host_id, request.outcome)
        case "replication":
            report = translate.replication_report(request.replication, vault.clock.now())
            await receive_replication(vault, host_id, report)
        case "points":
            await receive_points(vault, host_id, translate.point_report(request.points))
            number = request.points.number
            return Answer(points_accepted=session_pb2.RecoveryPointsAccepted(number=number))
        case "deny_list_stored":
            session.deny_list_version = translate.stored_version(request.deny_list_stored)
        case "deny_list":
            signed = request.deny_list.SerializeToString(deterministic=True)
            await vault.reconciliation.take_deny_list(vault, host_id, signed)
        case "hello" | None:
            raise InvalidValueError(
                "invalid-message",
                "The host sent a second Hello, or a message that this vault does not know.",
                "Update its agent to the version of the vault.",
                field="message",
            )
    return None


async def _take_outcome(vault: Vault, host_id: HostId, message: orders_pb2.OrderOutcome) -> Answer:
    order_id = OrderId(message.order_id)
    await receive_outcome(vault, host_id, order_id, translate.outcome(message))
    return Answer(outcome_accepted=session_pb2.OutcomeAccepted(order_id=order_id))
