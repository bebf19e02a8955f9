from typing import Any

import grpc
import pytest

from coordinator.domain.errors import RefusedError
from coordinator.domain.identifiers import VaultId
from coordinator.rpc.errors import StatusError
from coordinator.rpc.guard import Guard
from coordinator.rpc.permissions import ENROLMENT, HOST_SESSION, PERMISSIONS
from replikera.identity import Caller, Role
from replikera.wire.v1 import enrolment_pb2, session_pb2
from tests.unit.coordinator.calls import AbortedError, FakeContext, credentials

GUARD = Guard(VaultId("v-1"))


async def knock(context: FakeContext) -> Caller:
    """Call the session method; return whom the guard took the caller for."""
    seen: list[Caller] = []

    async def handle(caller: Caller, _requests: Any, _context: Any) -> None:
        seen.append(caller)

    await GUARD.stream_call(HOST_SESSION, "Session", handle)(None, context)  # type: ignore[arg-type]  # a fake
    return seen[0]


async def refused(context: FakeContext) -> AbortedError:
    with pytest.raises(AbortedError) as caught:
        await knock(context)
    return caught.value


async def failing(error: Exception) -> AbortedError:
    async def handle(_request: Any, _context: Any) -> None:
        raise error

    with pytest.raises(AbortedError) as caught:
        await GUARD.open_call(ENROLMENT, "Enrol", handle)(None, FakeContext())  # type: ignore[arg-type]  # a fake
    return caught.value


def test_every_method_of_every_service_has_a_row() -> None:
    served = {
        (service.full_name, method.name)
        for module in (enrolment_pb2, session_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert served == set(PERMISSIONS)


def test_only_enrolment_is_open_to_anybody() -> None:
    assert {service for (service, _), roles in PERMISSIONS.items() if roles is None} == {ENROLMENT}


async def test_a_host_of_this_vault_is_let_in_under_its_certificates_name() -> None:
    caller = await knock(FakeContext(credentials(Role.HOST, "host-1", "v-1")))
    assert (caller.role, caller.name) == (Role.HOST, "host-1")


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VAULT])
async def test_other_roles_are_refused(role: Role) -> None:
    error = await refused(FakeContext(credentials(role, "x", "v-1")))
    assert error.code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_host_of_another_vault_is_refused() -> None:
    error = await refused(FakeContext(credentials(Role.HOST, "host-1", "v-2")))
    assert error.code is grpc.StatusCode.PERMISSION_DENIED


async def test_an_older_tls_and_a_missing_certificate_are_refused() -> None:
    good = credentials(Role.HOST, "host-1", "v-1")
    for context in (FakeContext(good, tls=b"TLSv1.2"), FakeContext()):
        assert (await refused(context)).code is grpc.StatusCode.UNAUTHENTICATED


def test_a_method_with_roles_cannot_be_served_openly() -> None:
    async def handle(_request: Any, _context: Any) -> None: ...

    with pytest.raises(ValueError, match="Session needs a certificate"):
        GUARD.open_call(HOST_SESSION, "Session", handle)


async def test_refusals_are_told_and_bugs_are_not() -> None:
    refusal = await failing(RefusedError("taken", "It is taken.", "Choose another."))
    assert refusal.details == "taken: It is taken. Choose another."
    own = StatusError(grpc.StatusCode.ABORTED, "a", "B.", "C.")
    assert (await failing(own)).code is grpc.StatusCode.ABORTED
    bug = await failing(KeyError("a secret"))
    assert bug.code is grpc.StatusCode.INTERNAL
    assert "secret" not in bug.details
