"""The bodies and query parameters of requests. What a request says beyond them is refused."""

from typing import Annotated, Literal

from pydantic import Field

from coordinator.domain.events import EventKind
from coordinator.domain.jobs import JobState
from coordinator.domain.operators import MAX_REASON_LENGTH, OperatorRole
from coordinator.domain.points import MAX_INTEGER
from coordinator.domain.registration_keys import DEFAULT_LIFE
from coordinator.web.models import ListQuery, RequestBody, Text

MAX_SIGNING_REQUEST = 8192
"""Characters of base64; a request for a P-256 key has some 300."""

Seconds = Annotated[int, Field(ge=1, le=MAX_INTEGER)]
Reason = Annotated[str, Field(max_length=MAX_REASON_LENGTH)]
SigningRequest = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_SIGNING_REQUEST,
        description="PKCS#10 DER, base64, for a P-256 key; names in it are ignored.",
    ),
]
# JSON has no enumerations: a member's text is read as the member.
Role = Annotated[OperatorRole, Field(strict=False)]
Number = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class ReconciliationRequest(RequestBody):
    """End reconciling, with or without the hosts that have not reported."""

    accept_missing: bool


class OperatorRequest(RequestBody):
    """A new operator, with the request for its certificate."""

    name: Text
    role: Role
    certificate_signing_request: SigningRequest


class RenewalRequest(RequestBody):
    """The request for another certificate of the operator who asks."""

    certificate_signing_request: SigningRequest


class ReasonRequest(RequestBody):
    """Why something is done; it goes into the history."""

    reason: Reason = ""


class ReadmissionRequest(RequestBody):
    """Why a host is let in again, and how long its join line may be used."""

    reason: Reason = ""
    valid_for_seconds: Seconds = int(DEFAULT_LIFE.total_seconds())


class SiteRequest(RequestBody):
    """A new site."""

    name: Text


class CloudRequest(RequestBody):
    """A new cloud of a site."""

    name: Text
    site: Text


class HostInvitationRequest(RequestBody):
    """An invitation for one new host of a site."""

    site: Text
    valid_for_seconds: Seconds = int(DEFAULT_LIFE.total_seconds())


class PolicyRequest(RequestBody):
    """A new replication policy."""

    name: Text
    copy_frequency_seconds: int = Field(ge=0, le=10**9)
    retention_hours: int = Field(ge=0, le=10**6)


class NetworkMappingRequest(RequestBody):
    """A network of a primary host, and which of a secondary host stands for it."""

    primary_host: Text
    primary_network: Text
    secondary_host: Text
    secondary_network: Text
    test_network: Text | None = None


class ProtectionRequest(RequestBody):
    """A machine to protect."""

    machine: Text
    target_host: Text
    policy: Text


class TestFailoverRequest(RequestBody):
    """The recovery point to test: the newest, or one by its sequence."""

    point: Literal["latest"] | Annotated[int, Field(ge=1, le=MAX_INTEGER)]


class CleanUpRequest(RequestBody):
    """What is to be remembered of a test failover."""

    notes: str = ""


class JobQuery(ListQuery):
    """Which jobs."""

    state: JobState | None = Field(default=None, description="Only jobs in this state.")
    subject: Text | None = Field(default=None, description="Only jobs about this machine, by name.")


class EventQuery(ListQuery):
    """Which events."""

    kind: EventKind | None = Field(default=None, description="Only events of this kind.")
    subject: Text | None = Field(default=None, description="Only events about this object, by id.")
    after: Number | None = Field(
        default=None, description="Only events with greater numbers, oldest first."
    )


class AuditQuery(ListQuery):
    """Which part of the audit log."""

    after: Number = Field(default=0, description="Only lines with greater numbers.")
