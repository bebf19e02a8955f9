import grpc
import pytest

from coordinator.domain.errors import (
    DomainError,
    ForbiddenError,
    IllegalTransitionError,
    InvalidValueError,
    KeyRefusedError,
    RefusedError,
    UnknownObjectError,
)
from coordinator.rpc.errors import abort, status_error
from coordinator.store.errors import StoreError
from tests.unit.coordinator.calls import AbortedError, FakeContext


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownObjectError("c", "Cause.", "Remedy."), grpc.StatusCode.NOT_FOUND),
        (IllegalTransitionError("c", "Cause.", "Remedy."), grpc.StatusCode.FAILED_PRECONDITION),
        (RefusedError("c", "Cause.", "Remedy."), grpc.StatusCode.FAILED_PRECONDITION),
        (
            InvalidValueError("c", "Cause.", "Remedy.", field="f"),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (ForbiddenError("c", "Cause.", "Remedy."), grpc.StatusCode.PERMISSION_DENIED),
        (KeyRefusedError("c", "Cause.", "Remedy."), grpc.StatusCode.UNAUTHENTICATED),
        (StoreError("c", "Cause.", "Remedy."), grpc.StatusCode.UNAVAILABLE),
    ],
)
async def test_every_error_has_a_status_and_tells_code_cause_and_remedy(
    error: DomainError | StoreError, status: grpc.StatusCode
) -> None:
    with pytest.raises(AbortedError) as caught:
        await abort(FakeContext(), status_error(error))  # type: ignore[arg-type]  # a fake
    assert (caught.value.code, caught.value.details) == (status, "c: Cause. Remedy.")


def test_no_error_of_the_domain_is_without_a_status() -> None:
    for kind in DomainError.__subclasses__():
        error = kind.__new__(kind)
        DomainError.__init__(error, "c", "Cause.", "Remedy.")
        assert str(status_error(error)) == "c: Cause. Remedy."
