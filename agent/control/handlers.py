"""Orders as they are carried out here: each message checked, each failure told with its remedy."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from agent.control.messages import (
    cleaned_up_message,
    digests_message,
    exported_message,
    failed,
    failure_message,
    started_message,
)
from agent.control.order_fields import (
    OrderError,
    PointName,
    ReplicaTerms,
    assignment,
    export_request,
    identifier,
    name_request,
    point_name,
    rehearsal_request,
    replica_terms,
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
from agent.replica.errors import ReplicaError
from agent.replica.exporting import ExportedDisk, ExportRequest
from agent.replica.point_digests import DiskDigest
from agent.source.assignment import Assignment
from agent.source.errors import SourceError
from agent.source.state import NamedPoint, NameRequest
from replikera.wire.v1 import orders_pb2, types_pb2

_SAME_VERSION = "Install the same version on the vault and the host."

_Told: TypeAlias = (
    RehearsalError | HypervisorError | ReplicaError | GrantRefusedError | SourceError | OSError
)
_TOLD = (RehearsalError, HypervisorError, ReplicaError, GrantRefusedError, SourceError, OSError)


@dataclass(frozen=True, slots=True)
class SourceActions:
    """What a host does for the protections whose machines run on it. All are idempotent; the bytes are a grant."""

    start: Callable[[Assignment, bytes], Awaitable[None]]
    resync: Callable[[str], Awaitable[None]]
    verify: Callable[[str, str], Awaitable[None]]
    name_point: Callable[[str, NameRequest], Awaitable[NamedPoint]]
    stop: Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class TargetActions:
    """What a host does for the protections whose replicas it keeps. All are idempotent."""

    accept: Callable[[ReplicaTerms], Awaitable[Path]]
    remove: Callable[[str, bool], Awaitable[Iterable[Path]]]
    digest: Callable[[PointName, Progress], Awaitable[Iterable[DiskDigest]]]
    export: Callable[[PointName, ExportRequest, Progress], Awaitable[ExportedDisk]]
    start_rehearsal: Callable[[RehearsalRequest, Progress], Awaitable[RehearsalStarted]]
    clean_up_rehearsal: Callable[[str, str], Awaitable[RehearsalCleanedUp]]


class OrderHandlers:
    """Carries out one order at a time for each of its callers."""

    def __init__(self, source: SourceActions, target: TargetActions) -> None:
        self._source = source
        self._target = target

    async def handle(self, order: orders_pb2.Order, progress: Progress) -> orders_pb2.OrderOutcome:
        """Return how the order ended; a failure is an outcome too."""
        outcome = orders_pb2.OrderOutcome(order_id=order.order_id)
        try:
            if not await self._act_as_source(order, outcome):
                await self._act_as_target(order, outcome, progress)
        except _TOLD as error:
            return failed(order.order_id, _failure(error))
        except OrderError as error:
            cause = f"The order cannot be followed: {error}."
            return failed(order.order_id, failure_message("bad-order", cause, _SAME_VERSION))
        return outcome

    async def _act_as_source(
        self, order: orders_pb2.Order, outcome: orders_pb2.OrderOutcome
    ) -> bool:
        match order.WhichOneof("action"):
            case "start_replication":
                assigned = assignment(order.start_replication)
                await self._source.start(assigned, order.start_replication.grant)
            case "resync_replication":
                await self._source.resync(_protection(order.resync_replication.protection_id))
            case "verify_replication":
                verify = order.verify_replication
                verification_id = verify.verification_id and identifier(
                    verify.verification_id, "verification"
                )
                await self._source.verify(_protection(verify.protection_id), verification_id)
            case "stop_replication":
                await self._source.stop(_protection(order.stop_replication.protection_id))
            case "name_point":
                await self._name_point(order, outcome)
                return True
            case _:
                return False
        outcome.done.SetInParent()
        return True

    async def _name_point(self, order: orders_pb2.Order, outcome: orders_pb2.OrderOutcome) -> None:
        protection_id = _protection(order.name_point.protection_id)
        point = await self._source.name_point(protection_id, name_request(order))
        outcome.point_named.sequence = point.sequence
        outcome.point_named.generation = point.generation

    async def _act_as_target(
        self, order: orders_pb2.Order, outcome: orders_pb2.OrderOutcome, progress: Progress
    ) -> None:
        match order.WhichOneof("action"):
            case "accept_replica":
                path = await self._target.accept(replica_terms(order.accept_replica))
                outcome.replica_accepted.path = str(path)
            case "remove_replica":
                remove = order.remove_replica
                protection_id = _protection(remove.protection_id)
                kept = await self._target.remove(protection_id, remove.keep_disks)
                outcome.replica_removed.SetInParent()
                outcome.replica_removed.kept_paths.extend(map(str, kept))
            case "digest_point":
                digests = await self._target.digest(point_name(order.digest_point), progress)
                outcome.point_digests.CopyFrom(digests_message(digests))
            case "export_point":
                point, export = export_request(order.order_id, order.export_point)
                exported = await self._target.export(point, export, progress)
                outcome.point_exported.CopyFrom(exported_message(exported))
            case "start_rehearsal":
                request = rehearsal_request(order.order_id, order.start_rehearsal)
                started = await self._target.start_rehearsal(request, progress)
                outcome.rehearsal_started.CopyFrom(started_message(started))
            case "clean_up_rehearsal":
                action = order.clean_up_rehearsal
                protection_id = _protection(action.protection_id)
                cleaned_up = await self._target.clean_up_rehearsal(
                    action.rehearsal_id, protection_id
                )
                outcome.rehearsal_cleaned_up.CopyFrom(cleaned_up_message(cleaned_up))
            case _:
                raise OrderError("this agent does not know its action")


def _protection(protection_id: str) -> str:
    return identifier(protection_id, "protection")


def _failure(error: _Told) -> types_pb2.Failure:
    if isinstance(error, SourceError):
        told = error.failure
        return failure_message(told.code, told.cause, told.remedy)
    if isinstance(error, OSError):
        return failure_message(
            "storage-error",
            f"The host's storage failed: {error}.",
            "Check the volumes of the agent's folders, then try again.",
        )
    return failure_message(error.code, error.cause, error.remedy)
