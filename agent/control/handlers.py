"""Orders as they are carried out here: each message checked, each failure told with its remedy."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from agent.control.messages import (
    cleaned_up_message,
    failed,
    failure_message,
    networks_by_nic,
    started_message,
)
from agent.control.orders import Progress
from agent.failover.outcome import (
    RehearsalCleanedUp,
    RehearsalError,
    RehearsalRequest,
    RehearsalStarted,
)
from agent.grants import GrantRefusedError
from agent.hypervisor.interface import HypervisorError
from agent.replica.accepted import AcceptedReplica
from agent.replica.errors import ReplicaError
from agent.source.errors import SourceError
from agent.source.state import Assignment
from replikera.wire.v1 import orders_pb2

MAX_GUEST_TIMEOUT = timedelta(hours=24)
MAX_NAME_CHARACTERS = 255
MAX_NICS = 64

_SAME_VERSION = "Install the same version on the vault and the host."


class OrderError(Exception):
    """The order says what no vault of this version says."""


@dataclass(frozen=True, slots=True)
class Actions:
    """What the agent can do for the vault. All are idempotent. The bytes are a grant as it was signed, or none."""

    accept_replica: Callable[[AcceptedReplica, bytes], Awaitable[None]]
    start_replication: Callable[[Assignment, bytes], Awaitable[None]]
    start_rehearsal: Callable[[RehearsalRequest, Progress], Awaitable[RehearsalStarted]]
    clean_up_rehearsal: Callable[[str], Awaitable[RehearsalCleanedUp]]


class OrderHandlers:
    """Carries out one order at a time for each of its callers."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions

    async def handle(self, order: orders_pb2.Order, progress: Progress) -> orders_pb2.OrderOutcome:
        """Return how the order ended; a failure is an outcome too."""
        try:
            return await self._act(order, progress)
        except (RehearsalError, HypervisorError, ReplicaError, GrantRefusedError) as error:
            failure = failure_message(error.code, error.cause, error.remedy)
        except SourceError as error:
            told = error.failure
            failure = failure_message(told.code, told.cause, told.remedy)
        except OrderError as error:
            failure = failure_message(
                "bad-order", f"The order cannot be followed: {error}.", _SAME_VERSION
            )
        except OSError as error:
            failure = failure_message(
                "storage-error",
                f"The host's storage failed: {error}.",
                "Check the volume of the agent's state directory, then try again.",
            )
        return failed(order.order_id, failure)

    async def _act(self, order: orders_pb2.Order, progress: Progress) -> orders_pb2.OrderOutcome:
        outcome = orders_pb2.OrderOutcome(order_id=order.order_id)
        match order.WhichOneof("action"):
            case "accept_replica":
                accepted = _accepted(order.accept_replica)
                await self._actions.accept_replica(accepted, order.accept_replica.grant)
                outcome.done.SetInParent()
            case "start_replication":
                assignment = _assignment(order.start_replication)
                await self._actions.start_replication(assignment, order.start_replication.grant)
                outcome.done.SetInParent()
            case "start_rehearsal":
                request = _rehearsal(order.order_id, order.start_rehearsal)
                started = await self._actions.start_rehearsal(request, progress)
                outcome.rehearsal_started.CopyFrom(started_message(started))
            case "clean_up_rehearsal":
                rehearsal_id = order.clean_up_rehearsal.rehearsal_id
                cleaned_up = await self._actions.clean_up_rehearsal(rehearsal_id)
                outcome.rehearsal_cleaned_up.CopyFrom(cleaned_up_message(cleaned_up))
            case None:
                raise OrderError("this agent does not know its action")
        return outcome


def _accepted(order: orders_pb2.AcceptReplica) -> AcceptedReplica:
    return AcceptedReplica(
        protection_id=order.protection_id,
        epoch=order.epoch.number,
        generation=order.epoch.generation,
        source_host_id=_text(order.source_host_id, "source host"),
        machine_id=_text(order.machine_id, "machine"),
        machine_name=_text(order.machine_name, "machine name"),
        retention=_span(order.retention, "retention"),
    )


def _assignment(order: orders_pb2.StartReplication) -> Assignment:
    return Assignment(
        protection_id=order.protection_id,
        epoch=order.epoch.number,
        generation=order.epoch.generation,
        machine_id=_text(order.machine_id, "machine"),
        target_host_id=_text(order.target_host_id, "target host"),
        target_address=_text(order.target_address, "target address"),
        copy_frequency=_span(order.copy_frequency, "copy frequency"),
    )


def _rehearsal(order_id: str, order: orders_pb2.StartRehearsal) -> RehearsalRequest:
    timeout = _span(order.guest_timeout, "guest timeout")
    if not timedelta(0) < timeout <= MAX_GUEST_TIMEOUT:
        raise OrderError(f"a guest timeout of {timeout} is out of range")
    _check_nics(order.nics)
    return RehearsalRequest(
        rehearsal_id=order.rehearsal_id,
        order_id=order_id,
        protection_id=order.protection_id,
        generation=order.generation,
        sequence=order.sequence,
        machine_name=_text(order.machine_name, "machine name"),
        networks=networks_by_nic(order.nics),
        guest_timeout=timeout,
    )


def _check_nics(nics: Sequence[orders_pb2.NicConnection]) -> None:
    if len(nics) > MAX_NICS:
        raise OrderError(f"{len(nics)} adapters, the limit is {MAX_NICS}")
    for nic in nics:
        _text(nic.nic_id, "adapter")
        if nic.network:
            _text(nic.network, "network")
    if len({nic.nic_id for nic in nics}) != len(nics):
        raise OrderError("an adapter is named twice")


def _text(value: str, what: str) -> str:
    if not value or len(value) > MAX_NAME_CHARACTERS or not value.isprintable():
        raise OrderError(f"the {what} {value[:MAX_NAME_CHARACTERS]!r} is not a name")
    return value


def _span(message: Duration, what: str) -> timedelta:
    try:
        return message.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise OrderError(f"the {what} is not a duration") from error
