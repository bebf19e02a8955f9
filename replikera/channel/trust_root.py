"""The one question that is asked before anything is trusted: which root a vault claims."""

import asyncio
import ssl
from dataclasses import dataclass

import grpc.aio
from cryptography import x509

from replikera.channel.clients import open_enrolment_channel
from replikera.channel.limits import CONNECT_SECONDS
from replikera.wire.v1 import enrolment_pb2, enrolment_pb2_grpc


@dataclass(frozen=True, slots=True)
class UnverifiedVault:
    """What an enrolment listener says of itself before anybody checked it."""

    root_certificate: bytes
    peer_name: str


async def fetch_trust_root(address: str) -> UnverifiedVault:
    """Return the root that the listener at `address` claims; trust it only if its fingerprint is the expected one.

    Raises `ConnectionError` where nothing answers as an enrolment listener does.
    """
    leaf = await _unverified_leaf(address)
    peer_name = _only_dns_name(leaf)
    # The leaf as its own trust anchor encrypts this one question; the answer is checked by its hash.
    async with open_enrolment_channel(
        address, peer_name=peer_name, root_certificate=leaf
    ) as channel:
        stub = enrolment_pb2_grpc.EnrolmentServiceStub(channel)
        try:
            answer = await stub.GetTrustRoot(
                enrolment_pb2.GetTrustRootRequest(), timeout=CONNECT_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise ConnectionError(
                f"{address} does not answer as a vault: {error.details()}"
            ) from error
    return UnverifiedVault(answer.root_certificate, peer_name)


async def _unverified_leaf(address: str) -> bytes:
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context)
    except (OSError, ValueError) as error:
        raise ConnectionError(f"no enrolment listener answers at {address}: {error}") from error
    connection = writer.get_extra_info("ssl_object")
    der = connection.getpeercert(binary_form=True)
    writer.transport.abort()
    if der is None:
        raise ConnectionError(f"{address} presented no certificate")
    return ssl.DER_cert_to_PEM_cert(der).encode()


def _only_dns_name(leaf: bytes) -> str:
    try:
        names = (
            x509.load_pem_x509_certificate(leaf)
            .extensions.get_extension_for_class(x509.SubjectAlternativeName)
            .value.get_values_for_type(x509.DNSName)
        )
    except (ValueError, x509.ExtensionNotFound) as error:
        raise ConnectionError(f"the listener's certificate is not a vault's: {error}") from error
    if len(names) != 1:
        raise ConnectionError(
            f"the listener's certificate has {len(names)} DNS names, expected one"
        )
    return names[0]
