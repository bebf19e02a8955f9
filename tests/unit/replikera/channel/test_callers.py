"""Who is served, and until when."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import grpc
import pytest

from replikera.channel import callers
from replikera.channel.callers import (
    ChannelRefusedError,
    RpcContext,
    caller_of,
    require_tls13,
    require_trusted,
    until_distrusted,
)
from replikera.denials import Denials
from replikera.identity import Caller, Role
from replikera.trust.deny_list import DeniedCertificate, DenyList
from tests.support.authority import make_authority

FAR = datetime(9000, 1, 1, tzinfo=UTC)
CALLER = Caller(Role.HOST, "h1", "v", 0xABC, FAR)
DENIAL = DenyList("v", 1, FAR, (DeniedCertificate(0xABC, "spiffe://v/host/h1", FAR),), frozenset())


def context(**properties: list[bytes]) -> RpcContext:
    class Context:
        def auth_context(self) -> dict[str, list[bytes]]:
            return properties

    return cast("RpcContext", Context())


def in_seconds(seconds: float) -> Caller:
    return replace(CALLER, not_after=datetime.now(UTC) + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "versions", [{}, {"ssl_tls_version": [b"TLSv1.2"]}, {"ssl_tls_version": [b"TLSv1.3"] * 2}]
)
def test_anything_but_tls_1_3_is_refused(versions: dict[str, list[bytes]]) -> None:
    for asked in (require_tls13, caller_of):
        with pytest.raises(ChannelRefusedError, match=r"does not use TLS 1\.3") as caught:
            asked(context(**versions))
        assert caught.value.status is grpc.StatusCode.UNAUTHENTICATED


def test_the_caller_is_who_the_certificate_names() -> None:
    issued = make_authority().issue(Role.HOST, "h1")
    found = caller_of(
        context(ssl_tls_version=[b"TLSv1.3"], x509_pem_cert=[issued.certificate_chain])
    )
    assert found == issued.caller


def test_a_caller_without_a_certificate_or_with_a_strange_one_is_refused() -> None:
    with pytest.raises(ChannelRefusedError, match="presented no certificate"):
        caller_of(context(ssl_tls_version=[b"TLSv1.3"]))
    with pytest.raises(ChannelRefusedError, match="names no identity"):
        caller_of(context(ssl_tls_version=[b"TLSv1.3"], x509_pem_cert=[b"?"]))


def test_a_refusal_tells_code_cause_and_remedy() -> None:
    error = ChannelRefusedError("it is so", code="x", remedy="Do this.")
    assert error.details == "x: it is so. Do this."


def test_who_is_valid_and_not_denied_is_trusted() -> None:
    require_trusted(CALLER, Denials())


def test_an_expired_certificate_is_refused_by_name_and_date() -> None:
    with pytest.raises(ChannelRefusedError, match="abc of spiffe://v/host/h1 expired") as caught:
        require_trusted(in_seconds(-1), Denials())
    assert caught.value.status is grpc.StatusCode.UNAUTHENTICATED
    assert caught.value.code == "certificate-expired"
    assert "readmit" in caught.value.remedy


def test_a_denied_certificate_is_refused_by_name() -> None:
    denials = Denials()
    denials.update(DENIAL)
    with pytest.raises(ChannelRefusedError, match="denied the certificate abc") as caught:
        require_trusted(CALLER, denials)
    assert caught.value.status is grpc.StatusCode.PERMISSION_DENIED
    assert caught.value.code == "certificate-denied"


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.05])
async def test_trust_ends_with_the_certificate(seconds: float) -> None:
    caller = in_seconds(seconds)
    with pytest.raises(ChannelRefusedError, match="expired"):
        await until_distrusted(caller, Denials())
    assert datetime.now(UTC) >= caller.not_after


async def test_trust_ends_with_a_denial() -> None:
    denials = Denials()
    waiting = asyncio.ensure_future(until_distrusted(CALLER, denials))
    await asyncio.sleep(0)
    assert not waiting.done()
    denials.update(DENIAL)
    with pytest.raises(ChannelRefusedError, match="denied the certificate abc"):
        await waiting


async def test_the_wall_clock_is_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        """The machine slept: ten years pass after the first look, and no timer of the loop saw them."""

        looks = 0

        @classmethod
        def now(cls, _zone: object) -> datetime:
            cls.looks += 1
            return FAR + timedelta(days=3650 if cls.looks > 1 else -3650)

    monkeypatch.setattr(callers, "datetime", Clock)
    monkeypatch.setattr(callers, "_LOOK_SECONDS", 0.001)
    with pytest.raises(ChannelRefusedError, match="expired"):
        await until_distrusted(CALLER, Denials())
    assert Clock.looks == 2
