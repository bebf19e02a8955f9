"""What listeners and channels accept and for how long: options with the facts behind them.

Measured: without `http2.ping_timeout_ms` a hung peer is noticed after a minute; gRPC's own keepalive is off by
default; its handshake timeout is two minutes; metadata above the soft limit is refused now and then only, above the
absolute one always.
"""

from dataclasses import dataclass
from typing import TypeAlias

Option: TypeAlias = tuple[str, int | str]

REPLICATION_METHOD = "/replikera.wire.v1.ReplicationService/Replicate"

CONNECT_SECONDS = 10.0
"""How long a connection may take to stand."""

ENROLMENT_MESSAGE_BYTES = 16 * 1024
REPLICATION_MESSAGE_BYTES = 4 * 1024 * 1024 + 64 * 1024

_METADATA_BYTES = 8_192
_HANDSHAKE_MS = 5_000
_KEEPALIVE: tuple[Option, ...] = (
    ("grpc.keepalive_time_ms", 8_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
)
_AGE: tuple[Option, ...] = (
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
)
_COMMON: tuple[Option, ...] = (
    *_KEEPALIVE,
    ("grpc.max_metadata_size", _METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
    ("grpc.compression_enabled_algorithms_bitset", 1),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one listener accepts: bytes a message, streams a connection, and connections.

    One above `connections` is closed at once; a silent one is after the time for a handshake.
    `ends_old_connections`: after an hour, so that a peer proves itself anew.
    """

    message_bytes: int
    concurrent_streams: int = 64
    # Twice the 2,000 hosts of a large vault: during a change of certificates each may hold two.
    connections: int = 4096
    ends_old_connections: bool = True


ENROLMENT_LIMITS = Limits(ENROLMENT_MESSAGE_BYTES, concurrent_streams=4, connections=512)
# An initial replication may take a day on one stream, which gRPC would cut in the middle.
REPLICATION_LIMITS = Limits(REPLICATION_MESSAGE_BYTES, connections=1024, ends_old_connections=False)


def server_options(limits: Limits) -> list[Option]:
    """Return the options of a listener."""
    return [
        *_COMMON,
        ("grpc.so_reuseport", 0),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", 4_000),
        ("grpc.max_concurrent_streams", limits.concurrent_streams),
        ("grpc.max_receive_message_length", limits.message_bytes),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        *(_AGE if limits.ends_old_connections else ()),
    ]


def channel_options(peer_name: str) -> list[Option]:
    """Return the options of a channel to the peer with this DNS name."""
    return [
        *_COMMON,
        ("grpc.ssl_target_name_override", peer_name),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", REPLICATION_MESSAGE_BYTES),
        ("grpc.initial_reconnect_backoff_ms", 500),
        ("grpc.max_reconnect_backoff_ms", 10_000),
        ("grpc.enable_retries", 0),
    ]
