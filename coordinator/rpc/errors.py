"""Errors as gRPC statuses. The detail is "code: cause remedy"."""

from typing import NoReturn

import grpc

from coordinator.domain.errors import (
    DomainError,
    ForbiddenError,
    IllegalTransitionError,
    InvalidValueError,
    KeyRefusedError,
    RefusedError,
    UnknownObjectError,
)
from coordinator.store.errors import StoreError
from replikera.channel import RpcContext
from replikera.identity import Caller

_STATUSES: dict[type[Exception], grpc.StatusCode] = {
    UnknownObjectError: grpc.StatusCode.NOT_FOUND,
    IllegalTransitionError: grpc.StatusCode.FAILED_PRECONDITION,
    InvalidValueError: grpc.StatusCode.INVALID_ARGUMENT,
    RefusedError: grpc.StatusCode.FAILED_PRECONDITION,
    ForbiddenError: grpc.StatusCode.PERMISSION_DENIED,
    KeyRefusedError: grpc.StatusCode.UNAUTHENTICATED,
    StoreError: grpc.StatusCode.UNAVAILABLE,
}


class StatusError(Exception):
    """A call ends with this status."""

    def __init__(self, status: grpc.StatusCode, code: str, cause: str, remedy: str) -> None:
        super().__init__(f"{code}: {cause} {remedy}")
        self.status = status


def status_error(error: DomainError | StoreError) -> StatusError:
    """Return the status that tells a host of this error."""
    return StatusError(_STATUSES[type(error)], error.code, error.cause, error.remedy)


def expired(caller: Caller) -> StatusError:
    """Return the status that tells a host of the end of its certificate."""
    return StatusError(
        grpc.StatusCode.UNAUTHENTICATED,
        "certificate-expired",
        f"The certificate of {caller.role} {caller.name} expired on {caller.not_after:%Y-%m-%d %H:%M} UTC.",
        f"Readmit it and let it join again: replikera host readmit {caller.name}. Its protections stay.",
    )


async def abort(context: RpcContext, error: StatusError) -> NoReturn:
    """End the call with its status."""
    await context.abort(error.status, str(error))
