"""The only place that makes gRPC servers and channels: credentials, keepalive, limits, identities."""

from replikera.channel.callers import (
    ChannelRefusedError,
    RpcContext,
    caller_of,
    require_tls13,
    require_trusted,
    until_distrusted,
)
from replikera.channel.clients import open_channel, open_enrolment_channel
from replikera.channel.dialling import GrpcDialler
from replikera.channel.limits import (
    ENROLMENT_MESSAGE_BYTES,
    REPLICATION_LIMITS,
    REPLICATION_MESSAGE_BYTES,
    REPLICATION_METHOD,
    Limits,
)
from replikera.channel.servers import Server, enrolment_server, mutual_tls_server
from replikera.channel.serving import replication_service
from replikera.channel.trust_root import UnverifiedVault, fetch_trust_root

__all__ = [
    "ENROLMENT_MESSAGE_BYTES",
    "REPLICATION_LIMITS",
    "REPLICATION_MESSAGE_BYTES",
    "REPLICATION_METHOD",
    "ChannelRefusedError",
    "GrpcDialler",
    "Limits",
    "RpcContext",
    "Server",
    "UnverifiedVault",
    "caller_of",
    "enrolment_server",
    "fetch_trust_root",
    "mutual_tls_server",
    "open_channel",
    "open_enrolment_channel",
    "replication_service",
    "require_tls13",
    "require_trusted",
    "until_distrusted",
]
