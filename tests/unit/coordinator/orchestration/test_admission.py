from dataclasses import replace

import pytest

from coordinator.domain.certificates import Certificate, CertificateState, Standing, Use
from coordinator.domain.errors import ForbiddenError
from coordinator.orchestration.admission import (
    CopyFoundError,
    check_standing,
    checked,
    known_host,
)
from coordinator.orchestration.vault import Vault
from replikera.identity import Caller, Role
from tests.unit.coordinator.examples import LATER, NOW, SOURCE
from tests.unit.coordinator.vaults import save

CALLER = Caller(Role.HOST, SOURCE.id, "v", 0x2A, LATER)
CERTIFICATE = Certificate(
    "2a", Role.HOST, SOURCE.id, CertificateState.ACTIVE, NOW, LATER, b"k", b"c"
)


async def test_a_host_is_known_by_the_name_in_its_certificate(vault: Vault) -> None:
    async with vault.store.read() as records:
        with pytest.raises(ForbiddenError) as caught:
            await known_host(records, CALLER)
    assert caught.value.code == "host-not-registered"
    await save(vault, SOURCE)
    async with vault.store.read() as records:
        assert await known_host(records, CALLER) == SOURCE
        with pytest.raises(ForbiddenError):
            await known_host(records, replace(CALLER, name=SOURCE.name))


def test_what_is_believed_goes_on() -> None:
    for state in (CertificateState.ISSUED, CertificateState.ACTIVE):
        check_standing(replace(CERTIFICATE, state=state), CALLER)
    use = Use(Standing.GOOD, (CERTIFICATE,))
    assert checked(use, CALLER) is use


def test_a_copy_is_told_apart_from_what_is_denied() -> None:
    with pytest.raises(CopyFoundError) as copied:
        check_standing(replace(CERTIFICATE, state=CertificateState.SUPERSEDED), CALLER)
    assert "copy" in copied.value.cause
    with pytest.raises(ForbiddenError) as denied:
        check_standing(replace(CERTIFICATE, state=CertificateState.DENIED), CALLER)
    assert denied.value.code == "certificate-denied"
    assert "2a" in denied.value.cause
