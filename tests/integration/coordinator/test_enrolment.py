"""Joining the vault over a real enrolment listener."""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from replikera.channel import fetch_trust_root
from replikera.enrolment import parse_join_line
from replikera.identity import (
    Role,
    caller_from_certificate,
    generate_private_key,
    root_fingerprint,
    signing_request,
)
from tests.integration.coordinator.running_vault import RunningVault


async def refusal(
    vault: RunningVault, line: str, *, request: bytes | None = None
) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await vault.enrol(line, "a-host", generate_private_key(), request=request)
    return caught.value.code(), caught.value.details() or ""


async def host_count(vault: RunningVault) -> int:
    return len((await vault.get("/hosts"))["items"])


async def test_a_stranger_learns_the_root_whose_hash_is_in_the_join_line(
    vault: RunningVault,
) -> None:
    line = parse_join_line(await vault.join_line("a"))
    told = await fetch_trust_root(f"127.0.0.1:{vault.ports.enrolment}")
    assert root_fingerprint(told.root_certificate) == line.root_fingerprint
    assert told.peer_name == vault.peer_name


async def test_a_host_gets_a_certificate_with_the_names_of_its_id_for_seven_days(
    vault: RunningVault,
) -> None:
    key = generate_private_key()
    answer = await vault.enrol(await vault.join_line("a"), "a-host", key)
    caller = caller_from_certificate(answer.certificate_chain)
    assert (caller.role, caller.name) == (Role.HOST, answer.host_id)
    assert caller.vault_id == answer.vault_id == vault.vault_id
    left = caller.not_after - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
    leaf = x509.load_pem_x509_certificate(answer.certificate_chain)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [f"{answer.host_id}.host.{vault.vault_id}"]
    assert len(list(names)) == 2
    assert (answer.site, answer.vault_name) == ("a", "home")
    assert answer.session_address == "vault.test:7401"
    assert answer.not_after.ToDatetime(tzinfo=UTC) == caller.not_after


async def test_names_in_the_signing_request_are_ignored(vault: RunningVault) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root of everything")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("operator.example")]), critical=False
        )
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    answer = await vault.enrol(await vault.join_line("a"), "a-host", b"", request=request)
    assert caller_from_certificate(answer.certificate_chain).name == answer.host_id
    assert b"operator.example" not in answer.certificate_chain


async def test_a_wrong_secret_is_refused_and_the_key_stays_good(vault: RunningVault) -> None:
    line = await vault.join_line("a")
    parts = parse_join_line(line)
    wrong = line.replace(parts.secret, "A" * 43)
    code, text = await refusal(vault, wrong)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert text.startswith("registration-key-wrong:")
    assert "replikera host invite" in text
    assert await host_count(vault) == 0
    assert (await vault.enrol(line, "a-host", generate_private_key())).host_id


async def test_an_unknown_key_is_refused_like_a_wrong_secret(vault: RunningVault) -> None:
    line = await vault.join_line("a")
    parts = parse_join_line(line)
    unknown = await refusal(vault, line.replace(parts.key_id, "0" * 16))
    assert unknown == await refusal(vault, line.replace(parts.secret, "B" * 43))


async def test_an_expired_key_is_refused(vault: RunningVault) -> None:
    line = await vault.join_line("a", valid_for_seconds=60)
    vault.clock.offset = timedelta(seconds=60)
    code, text = await refusal(vault, line)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert text.startswith("registration-key-expired:")


async def test_a_used_key_is_refused_to_another_host(vault: RunningVault) -> None:
    line = await vault.join_line("a")
    await vault.enrol(line, "a-host", generate_private_key())
    code, text = await refusal(vault, line)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert text.startswith("registration-key-used:")
    assert await host_count(vault) == 1


async def test_a_lost_answer_is_given_again_to_the_same_key_only_while_it_lives(
    vault: RunningVault,
) -> None:
    line = await vault.join_line("a")
    key = generate_private_key()
    first = await vault.enrol(line, "a-host", key)
    assert await vault.enrol(line, "a-host", key) == first
    assert await host_count(vault) == 1
    vault.clock.offset = timedelta(days=5)
    with pytest.raises(grpc.aio.AioRpcError, match="registration-key-expired"):
        await vault.enrol(line, "a-host", key)


async def test_two_hosts_that_race_with_one_key_do_not_both_join(vault: RunningVault) -> None:
    line = await vault.join_line("a")
    tries = [vault.enrol(line, f"host-{at}", generate_private_key()) for at in range(4)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    refused = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
    assert len(refused) == 3
    assert await host_count(vault) == 1


async def test_a_taken_host_name_is_refused_and_the_key_stays_good(vault: RunningVault) -> None:
    await vault.enrol(await vault.join_line("a"), "a-host", generate_private_key())
    line = await vault.join_line("a")
    code, text = await refusal(vault, line)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "host-name-taken" in text
    await vault.enrol(line, "b-host", generate_private_key())
    assert await host_count(vault) == 2


async def test_a_request_without_proof_of_possession_is_refused(vault: RunningVault) -> None:
    request = bytearray(signing_request(generate_private_key()))
    request[-1] ^= 1
    code, text = await refusal(vault, await vault.join_line("a"), request=bytes(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text.startswith("invalid-signing-request:")


async def test_an_oversized_request_is_refused_before_it_is_read(vault: RunningVault) -> None:
    code, _ = await refusal(vault, await vault.join_line("a"), request=bytes(20_000))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_too_many_attempts_from_one_address_are_refused(vault: RunningVault) -> None:
    line = await vault.join_line("a")
    wrong = line.replace(parse_join_line(line).secret, "A" * 43)
    codes = [(await refusal(vault, wrong))[0] for _ in range(25)]
    assert codes[0] is grpc.StatusCode.UNAUTHENTICATED
    assert codes[-1] is grpc.StatusCode.RESOURCE_EXHAUSTED
    vault.clock.offset = timedelta(minutes=1)
    assert (await vault.enrol(line, "a-host", generate_private_key())).host_id


async def test_a_flood_of_bad_enrolments_leaves_the_database_as_it_was(
    vault: RunningVault,
) -> None:
    line = await vault.join_line("a")
    wrong = line.replace(parse_join_line(line).secret, "A" * 43)
    before = (await vault.get("/vault"))["head"], database_of(vault)
    for minute in range(3):
        vault.clock.offset = timedelta(minutes=minute)
        await asyncio.gather(*(refusal(vault, wrong) for _ in range(10)))
    assert ((await vault.get("/vault"))["head"], database_of(vault)) == before


def database_of(vault: RunningVault) -> list[bytes]:
    return [(vault.folder / "state" / name).read_bytes() for name in ("vault.db", "vault.db-wal")]


async def test_a_host_that_has_joined_is_sent_to_be_readmitted(vault: RunningVault) -> None:
    host = await vault.add_host("a1", "a")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await vault.enrol(
            await vault.join_line("a"), "a2", generate_private_key(), existing_host_id=host.id
        )
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "replikera host readmit" in (caught.value.details() or "")
    assert await host_count(vault) == 1


async def test_a_readmitted_host_joins_again_under_its_id_and_nobody_else_with_its_key(
    vault: RunningVault,
) -> None:
    host = await vault.add_host("a1", "a")
    other = await vault.add_host("b1", "b")
    await vault.post("/hosts/a1/revoke", {"reason": "stolen"})
    readmission = await vault.post("/hosts/a1/readmit", {"reason": "found again"})
    line, key = readmission["join_line"], generate_private_key()
    with pytest.raises(grpc.aio.AioRpcError, match="registration-key-of-another-host"):
        await vault.enrol(line, "b1", key, existing_host_id=other.id)
    answer = await vault.enrol(line, "a1", key, existing_host_id=host.id)
    assert answer.host_id == host.id
    assert await vault.enrol(line, "a1", key) == answer
    with pytest.raises(grpc.aio.AioRpcError, match="registration-key-used"):
        await vault.enrol(line, "a1", generate_private_key())
    states = [item["state"] for item in (await vault.get("/hosts/a1"))["certificates"]]
    assert sorted(states) == ["denied", "issued"]


async def test_an_expired_host_comes_back_with_a_readmission(vault: RunningVault) -> None:
    host = await vault.add_host("a1", "a")
    vault.clock.offset = timedelta(days=8)
    async with host.session(vault) as session:
        assert (await session.refusal())[1].startswith("certificate-expired:")
    vault.clock.offset = timedelta(0)
    back = await vault.readmit(host, existing_host_id=host.id)
    async with back.welcomed(vault) as session:
        await session.expect("deny_list")
