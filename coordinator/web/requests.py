"""The bodies and query parameters of requests. What a request says beyond them is refused."""

from typing import Annotated

from pydantic import Field

from coordinator.domain.disabling import Side
from coordinator.domain.events import EventKind
from coordinator.domain.jobs import JobState
from coordinator.domain.operators import MAX_REASON_LENGTH, OperatorRole
from coordinator.domain.point_selection import LATEST, MAX_SELECTOR_LENGTH
from coordinator.domain.points import MAX_INTEGER
from coordinator.domain.policy_settings import ReplicaOnDisable
from coordinator.domain.registration_keys import DEFAULT_LIFE
from coordinator.domain.rehearsal_placement import MAPPED
from coordinator.domain.rehearsals import DEFAULT_LENGTH
from coordinator.web.models import ListQuery, Query, RequestBody, Text

MAX_SIGNING_REQUEST = 8192
"""Characters of base64; a request for a P-256 key has some 300."""

MAX_DISKS = 256
"""Of one machine."""

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


class SeedBody(RequestBody):
    """A disk, by file name, and the file in the target's seed folder that it is filled from."""

    disk: Text
    file: Text


class ProtectionRequest(RequestBody):
    """A machine to protect, `source_host` where several list it; disks that are left out, by id or file name."""

    machine: Text
    target_host: Text
    policy: Text
    source_host: Text | None = None
    excluded_disks: Annotated[list[Text], Field(max_length=MAX_DISKS)] = Field(default_factory=list)
    seeds: Annotated[list[SeedBody], Field(max_length=MAX_DISKS)] = Field(default_factory=list)


class ProtectionChange(RequestBody):
    """The policy that a protection follows from now on."""

    policy: Text


class DisableRequest(RequestBody):
    """What becomes of the replica's disks (null: as the policy says), and the sides that nobody waits for."""

    replica: Annotated[ReplicaOnDisable, Field(strict=False)] | None = None
    forget: Annotated[list[Annotated[Side, Field(strict=False)]], Field(max_length=2)] = Field(
        default_factory=list
    )


Selector = Annotated[str, Field(min_length=1, max_length=MAX_SELECTOR_LENGTH)]
Sequence = Annotated[int, Field(ge=1, le=MAX_INTEGER)]


class TestFailoverRequest(RequestBody):
    """The recovery point to test, on which networks (mapped, none, create, or an isolated one's name), for how long."""

    point: Sequence | Selector
    network: Text = MAPPED
    lasts_seconds: Seconds = int(DEFAULT_LENGTH.total_seconds())


class TestFailoverPlanQuery(Query):
    """As for a test failover that begins."""

    point: str = Field(default=LATEST, max_length=MAX_SELECTOR_LENGTH, description="Which point.")
    network: Text = Field(default=MAPPED, description="On which networks.")


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
