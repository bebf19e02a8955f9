"""What the vault answers about itself, its operators, hosts and what protections refer to."""

from datetime import datetime
from enum import StrEnum

from coordinator.domain.certificates import CertificateState
from coordinator.domain.control import VaultMode
from coordinator.domain.events import EventKind
from coordinator.domain.operators import OperatorRole
from coordinator.web.models import Answer


class ConnectionState(StrEnum):
    """Whether a host is there, or why it is not let in."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    QUARANTINED = "quarantined"
    REVOKED = "revoked"
    RETIRED = "retired"


class KeyState(StrEnum):
    """Whether a registration key is still good."""

    UNUSED = "unused"
    USED = "used"
    EXPIRED = "expired"
    REVOKED = "revoked"


class HeadAnswer(Answer):
    """A place in the history; `digest` is hexadecimal."""

    number: int
    digest: str


class VaultAnswer(Answer):
    """The vault; `hosts_missing` are those that a reconciling vault waits for."""

    id: str
    name: str
    created_at: datetime
    session_address: str
    enrolment_address: str
    fingerprint: str
    mode: VaultMode
    mode_since: datetime
    hosts_missing: list[str]
    head: HeadAnswer


class CertificateAnswer(Answer):
    """A certificate; `serial` is hexadecimal."""

    serial: str
    state: CertificateState
    issued_at: datetime
    not_after: datetime


class OperatorAnswer(Answer):
    """An operator."""

    id: str
    name: str
    role: OperatorRole
    created_at: datetime
    revoked_at: datetime | None


class SelfAnswer(OperatorAnswer):
    """The operator who asks, with the certificate it asks with."""

    certificate: CertificateAnswer


class CredentialsAnswer(OperatorAnswer):
    """An operator with a new certificate; PEM, leaf first, and the vault's root."""

    certificate_chain: str
    root_certificate: str
    not_after: datetime


class SiteAnswer(Answer):
    """A site."""

    id: str
    name: str
    created_at: datetime


class CloudAnswer(Answer):
    """A cloud and its site."""

    id: str
    name: str
    site: str
    created_at: datetime


class InvitationAnswer(Answer):
    """A registration key; the join line is told this once. `host` is the one that is readmitted."""

    key_id: str
    join_line: str
    site: str
    expires_at: datetime
    host: str | None


class RegistrationKeyAnswer(Answer):
    """A registration key, hosts by name."""

    id: str
    site: str
    state: KeyState
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None
    host: str | None
    readmits: str | None


class HostAnswer(Answer):
    """A host."""

    id: str
    name: str
    site: str
    cloud: str
    hypervisor: str
    state: ConnectionState
    cause: str | None
    remedy: str | None
    registered_at: datetime
    last_seen_at: datetime | None
    replication_address: str
    agent_version: str
    deny_list_version: int


class HostDetailAnswer(HostAnswer):
    """A host with its certificates, newest first, and the folders that it offers for replicas, the default first.

    `storage_path` is where disks of recovered machines go, empty where it is not known.
    """

    certificates: list[CertificateAnswer]
    replica_folders: list[str]
    storage_path: str


class MachineDisk(Answer):
    """A disk of a machine; `storage_class` is empty where the hypervisor knows of none."""

    disk_id: str
    name: str
    size: int
    storage_class: str


class MachineNic(Answer):
    """An adapter of a machine; `subnet` is empty where the hypervisor does not tell."""

    nic_id: str
    name: str
    network: str
    subnet: str


class MachineAnswer(Answer):
    """A machine; `protection` is the id of the one it has."""

    id: str
    name: str
    host: str
    site: str
    is_running: bool
    disks: list[MachineDisk]
    nics: list[MachineNic]
    protection: str | None


class NetworkAnswer(Answer):
    """A network of a host."""

    name: str
    host: str
    site: str
    is_isolated: bool
    subnets: list[str]


class EventAnswer(Answer):
    """A line of the history."""

    number: int
    occurred_at: datetime
    kind: EventKind
    subject: str
    detail: str


class AuditAnswer(EventAnswer):
    """A line of the history with who did it and the chain's digest, hexadecimal."""

    actor: str
    digest: str
