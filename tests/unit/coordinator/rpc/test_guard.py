import importlib
import pkgutil
from datetime import timedelta
from typing import Any

import grpc
import pytest

from coordinator.domain.errors import RefusedError
from coordinator.orchestration.trust import revoke_host
from coordinator.orchestration.vault import Vault
from coordinator.rpc.errors import StatusError
from coordinator.rpc.guard import Guard
from coordinator.rpc.permissions import ENROLMENT, HOST_SESSION, PERMISSIONS
from coordinator.store.errors import StoreError
from replikera.identity import Caller, Credentials, Role
from replikera.wire import v1
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.calls import AbortedError, FakeContext, credentials
from tests.unit.coordinator.examples import SOURCE
from tests.unit.coordinator.vaults import BY_ANN, member, save

SERVED_BY_AGENTS = {"replikera.wire.v1.ReplicationService"}
"""Hosts alone are let in there: replikera/channel/serving.py."""


async def knock(vault: Vault, context: FakeContext) -> Caller:
    """Call the session method; return whom the guard took the caller for."""
    seen: list[Caller] = []

    async def handle(caller: Caller, _requests: Any, _context: Any) -> None:
        seen.append(caller)

    await Guard(vault).stream_call(HOST_SESSION, "Session", handle)(None, context)  # type: ignore[arg-type]  # a fake
    return seen[0]


async def refused(vault: Vault, context: FakeContext) -> AbortedError:
    with pytest.raises(AbortedError) as caught:
        await knock(vault, context)
    return caught.value


async def failing(vault: Vault, error: Exception, context: FakeContext) -> AbortedError:
    async def handle(_request: Any, _context: Any) -> None:
        raise error

    with pytest.raises(AbortedError) as caught:
        await Guard(vault).open_call(ENROLMENT, "Enrol", handle)(None, context)  # type: ignore[arg-type]  # a fake
    return caught.value


def host(vault: Vault, name: str = "host-1", vault_id: str | None = None) -> Credentials:
    return credentials(Role.HOST, name, vault_id or vault.record.id)


def test_every_method_of_every_service_has_a_row() -> None:
    modules = [
        importlib.import_module(f"{v1.__name__}.{module.name}")
        for module in pkgutil.iter_modules(v1.__path__)
        if module.name.endswith("_pb2")
    ]
    served = {
        (service.full_name, method.name)
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert {service for service, _ in served} > SERVED_BY_AGENTS
    of_the_vault = {(service, name) for service, name in served if service not in SERVED_BY_AGENTS}
    assert of_the_vault == set(PERMISSIONS)


def test_only_enrolment_is_open_to_anybody() -> None:
    assert {service for (service, _), roles in PERMISSIONS.items() if roles is None} == {ENROLMENT}


async def test_a_host_of_this_vault_is_let_in_under_its_certificates_name(vault: Vault) -> None:
    caller = await knock(vault, FakeContext(host(vault)))
    assert (caller.role, caller.name) == (Role.HOST, "host-1")


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VAULT, Role.SIGNER])
async def test_other_roles_are_refused(vault: Vault, role: Role) -> None:
    error = await refused(vault, FakeContext(credentials(role, "x", vault.record.id)))
    assert error.code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_host_of_another_vault_is_refused(vault: Vault) -> None:
    error = await refused(vault, FakeContext(host(vault, vault_id="v-2")))
    assert error.code is grpc.StatusCode.PERMISSION_DENIED


async def test_an_older_tls_and_a_missing_certificate_are_refused(vault: Vault) -> None:
    for context in (FakeContext(host(vault), tls=b"TLSv1.2"), FakeContext()):
        assert (await refused(vault, context)).code is grpc.StatusCode.UNAUTHENTICATED


async def test_an_older_tls_is_refused_where_no_certificate_is_asked_for(vault: Vault) -> None:
    error = await failing(vault, KeyError("never raised"), FakeContext(tls=b"TLSv1.2"))
    assert error.code is grpc.StatusCode.UNAUTHENTICATED
    assert "TLS 1.3" in error.details


async def test_a_certificate_that_expired_while_its_connection_lasted_is_refused(
    vault: Vault, clock: VirtualClock
) -> None:
    context = FakeContext(host(vault))
    caller = await knock(vault, context)
    clock.advance((caller.not_after - clock.now()).total_seconds())
    error = await refused(vault, context)
    assert error.code is grpc.StatusCode.UNAUTHENTICATED
    assert error.details.startswith("certificate-expired: ")
    assert "replikera host readmit" in error.details
    clock.advance(timedelta(seconds=-1).total_seconds())
    await knock(vault, context)


async def test_a_denied_host_is_told_why_it_is_refused(vault: Vault) -> None:
    await save(vault, SOURCE)
    await member(vault, SOURCE.id)
    await revoke_host(vault, BY_ANN, "a1", "stolen")
    error = await refused(vault, FakeContext(host(vault, SOURCE.id)))
    assert error.code is grpc.StatusCode.PERMISSION_DENIED
    assert error.details.startswith("host-revoked: ")
    assert "stolen" in error.details


async def test_a_denied_host_is_refused_although_why_cannot_be_read(vault: Vault) -> None:
    await save(vault, SOURCE)
    await revoke_host(vault, BY_ANN, "a1", "")
    await vault.store.close()
    error = await refused(vault, FakeContext(host(vault, SOURCE.id)))
    assert error.code is grpc.StatusCode.UNAVAILABLE


def test_a_method_with_roles_cannot_be_served_openly(vault: Vault) -> None:
    async def handle(_request: Any, _context: Any) -> None: ...

    with pytest.raises(ValueError, match="Session needs a certificate"):
        Guard(vault).open_call(HOST_SESSION, "Session", handle)


async def test_a_question_is_answered_to_whom_the_guard_lets_in(vault: Vault) -> None:
    async def handle(caller: Caller, request: str) -> str:
        return f"{request} {caller.name}"

    ask: Any = Guard(vault).unary_call(HOST_SESSION, "RenewCertificate", handle)
    assert await ask("hello", FakeContext(host(vault))) == "hello host-1"
    with pytest.raises(AbortedError):
        await ask("hello", FakeContext())


async def test_refusals_are_told_and_bugs_are_not(vault: Vault) -> None:
    context = FakeContext()
    refusal = await failing(
        vault, RefusedError("taken", "It is taken.", "Choose another."), context
    )
    assert refusal.details == "taken: It is taken. Choose another."
    own = StatusError(grpc.StatusCode.ABORTED, "a", "B.", "C.")
    assert (await failing(vault, own, context)).code is grpc.StatusCode.ABORTED
    full = StoreError("disk-full", "It is full.", "Free it.")
    assert (await failing(vault, full, context)).code is grpc.StatusCode.UNAVAILABLE
    bug = await failing(vault, KeyError("a secret"), context)
    assert bug.code is grpc.StatusCode.INTERNAL
    assert "secret" not in bug.details
