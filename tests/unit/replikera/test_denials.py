"""Who is denied, before and during a call."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from replikera.denials import Denials
from replikera.identity import Caller, Role
from replikera.trust.deny_list import DeniedCertificate, DenyList

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALLER = Caller(Role.HOST, "h1", "v", 0xABC, NOW)
OTHER = Caller(Role.HOST, "h2", "v", 0xDEF, NOW)
EMPTY = DenyList("v", 1, NOW, (), frozenset())
BY_SERIAL = replace(
    EMPTY, version=2, certificates=(DeniedCertificate(0xABC, "spiffe://v/host/h1", NOW),)
)
BY_NAME = replace(EMPTY, version=3, identities=frozenset({"spiffe://v/host/h1"}))


def test_nobody_is_denied_before_the_first_list() -> None:
    denials = Denials()
    assert denials.version == 0
    assert denials.refusal(CALLER) is None
    assert denials.identity_refusal(Role.HOST, "h1", "v") is None


def test_a_denied_certificate_is_named_and_a_newer_one_of_the_host_is_believed() -> None:
    denials = Denials()
    denials.update(BY_SERIAL)
    assert denials.refusal(CALLER) == (
        "the vault has denied the certificate abc of spiffe://v/host/h1"
    )
    assert denials.refusal(replace(CALLER, serial=0xFED)) is None
    assert denials.identity_refusal(Role.HOST, "h1", "v") is None
    assert denials.refusal(OTHER) is None


@pytest.mark.parametrize("serial", [0xABC, 0xFED])
def test_a_denied_host_is_denied_with_every_certificate(serial: int) -> None:
    denials = Denials()
    denials.update(BY_NAME)
    assert denials.refusal(replace(CALLER, serial=serial)) == (
        "the vault has denied spiffe://v/host/h1"
    )
    assert denials.identity_refusal(Role.HOST, "h1", "v") is not None
    assert denials.identity_refusal(Role.OPERATOR, "h1", "v") is None
    assert denials.refusal(OTHER) is None


def test_a_newer_list_replaces_all_and_an_older_one_nothing() -> None:
    denials = Denials()
    denials.update(BY_NAME)
    denials.update(BY_SERIAL)
    assert denials.version == 3
    assert denials.identity_refusal(Role.HOST, "h1", "v") is not None
    denials.update(replace(EMPTY, version=4))
    assert denials.refusal(CALLER) is None


async def test_who_is_denied_already_is_told_so_at_once() -> None:
    denials = Denials()
    denials.update(BY_NAME)
    assert "spiffe://v/host/h1" in await denials.denied(CALLER)
    assert "spiffe://v/host/h1" in await denials.identity_denied(Role.HOST, "h1", "v")


async def test_who_is_denied_later_is_told_so_then_and_nobody_else() -> None:
    denials = Denials()
    async with asyncio.TaskGroup() as group:
        caller = group.create_task(denials.denied(CALLER))
        host = group.create_task(denials.identity_denied(Role.HOST, "h1", "v"))
        other = group.create_task(denials.denied(OTHER))
        await asyncio.sleep(0)
        denials.update(EMPTY)
        await asyncio.sleep(0)
        denials.update(BY_SERIAL)
        assert "certificate abc" in await caller
        assert not host.done()
        denials.update(BY_NAME)
        assert await host == "the vault has denied spiffe://v/host/h1"
        await asyncio.sleep(0)
        assert not other.done()
        other.cancel()


async def test_a_denial_that_is_taken_back_before_anybody_looked_ends_nothing() -> None:
    denials = Denials()
    waiting = asyncio.ensure_future(denials.denied(CALLER))
    await asyncio.sleep(0)
    denials.update(BY_SERIAL)
    denials.update(replace(EMPTY, version=4))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    denials.update(replace(BY_NAME, version=5))
    assert "spiffe://v/host/h1" in await waiting
