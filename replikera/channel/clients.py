"""Channels: this side dials, and accepts exactly one peer."""

import grpc
import grpc.aio

from replikera.channel.limits import channel_options
from replikera.identity import Credentials


def open_channel(address: str, *, peer_name: str, credentials: Credentials) -> grpc.aio.Channel:
    """Return a mutual TLS channel to `address` that accepts only the peer with DNS name `peer_name`."""
    secure = grpc.ssl_channel_credentials(
        credentials.root_certificate, credentials.private_key, credentials.certificate_chain
    )
    return grpc.aio.secure_channel(address, secure, options=channel_options(peer_name))


def open_enrolment_channel(
    address: str, *, peer_name: str, root_certificate: bytes
) -> grpc.aio.Channel:
    """Return a channel that verifies the vault and proves nothing of the caller."""
    secure = grpc.ssl_channel_credentials(root_certificate)
    return grpc.aio.secure_channel(address, secure, options=channel_options(peer_name))
