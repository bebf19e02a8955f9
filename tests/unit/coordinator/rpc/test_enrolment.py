from datetime import timedelta
from typing import Any

import grpc
import pytest

from coordinator.domain.errors import KeyRefusedError, RefusedError
from coordinator.orchestration.invitations import invite_host
from coordinator.orchestration.sites import create_site
from coordinator.orchestration.vault import Vault
from coordinator.rpc.enrolment import EnrolmentService
from coordinator.rpc.errors import StatusError
from coordinator.rpc.limiter import PER_ADDRESS
from replikera.enrolment import parse_join_line
from replikera.identity import caller_from_certificate, generate_private_key, signing_request
from replikera.wire.v1 import enrolment_pb2
from tests.unit.coordinator.calls import FakeContext
from tests.unit.coordinator.vaults import BY_ANN


async def ask(
    service: EnrolmentService, context: FakeContext
) -> enrolment_pb2.GetTrustRootResponse:
    stranger: Any = context
    return await service._get_trust_root(enrolment_pb2.GetTrustRootRequest(), stranger)


async def test_the_root_is_told_to_anybody(vault: Vault) -> None:
    answer = await ask(EnrolmentService(vault), FakeContext())
    assert answer.root_certificate == vault.authority.root_certificate


async def test_a_member_is_told_everything_it_needs(vault: Vault) -> None:
    await create_site(vault, BY_ANN, "a")
    line = parse_join_line((await invite_host(vault, BY_ANN, "a", timedelta(hours=1))).join_line)
    request = enrolment_pb2.EnrolRequest(
        key_id=line.key_id,
        secret=line.secret,
        certificate_signing_request=signing_request(generate_private_key()),
        host_name="a1",
        cloud="gold",
    )
    stranger: Any = FakeContext()
    answer = await EnrolmentService(vault)._enrol(request, stranger)
    assert caller_from_certificate(answer.certificate_chain).name == answer.host_id
    assert (answer.vault_id, answer.vault_name) == (vault.record.id, "home")
    assert (answer.site, answer.session_address) == ("a", "vault.test:7402")
    assert answer.root_certificate == vault.authority.root_certificate
    request.existing_host_id = answer.host_id
    with pytest.raises(RefusedError, match="readmit"):
        await EnrolmentService(vault)._enrol(request, stranger)
    request.secret = line.secret.swapcase()
    with pytest.raises(KeyRefusedError):
        await EnrolmentService(vault)._enrol(request, stranger)


async def test_ports_of_one_address_share_its_allowance(vault: Vault) -> None:
    service = EnrolmentService(vault)
    for at in range(int(PER_ADDRESS.burst)):
        await ask(service, FakeContext(peer=f"ipv4:10.0.0.1:{at}"))
    with pytest.raises(StatusError) as caught:
        await ask(service, FakeContext(peer="ipv4:10.0.0.1:9999"))
    assert caught.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await ask(service, FakeContext(peer="ipv4:10.0.0.2:1"))).root_certificate
