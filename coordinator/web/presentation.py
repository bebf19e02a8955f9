"""The vault, its operators, hosts and what protections refer to: domain to answers."""

from datetime import datetime

from coordinator.domain.certificates import Certificate
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.identifiers import HostId
from coordinator.domain.inventory import Machine, Network
from coordinator.domain.operators import Operator
from coordinator.domain.registration_keys import RegistrationKey
from coordinator.domain.sites import Cloud, Site
from coordinator.orchestration.invitations import Invitation
from coordinator.orchestration.operators import Credentials
from coordinator.orchestration.status import HostStatus
from coordinator.store.history import HistoryLine
from coordinator.web import answers
from coordinator.web.answers import ConnectionState, KeyState

Hosts = dict[HostId, Host]


def site(shown: Site) -> answers.SiteAnswer:
    """Return a site."""
    return answers.SiteAnswer(id=shown.id, name=shown.name, created_at=shown.created_at)


def cloud(shown: Cloud) -> answers.CloudAnswer:
    """Return a cloud."""
    return answers.CloudAnswer(
        id=shown.id, name=shown.name, site=shown.site, created_at=shown.created_at
    )


def operator(shown: Operator) -> answers.OperatorAnswer:
    """Return an operator."""
    return answers.OperatorAnswer(
        id=shown.id,
        name=shown.name,
        role=shown.role,
        created_at=shown.created_at,
        revoked_at=shown.revoked_at,
    )


def operator_itself(shown: Operator, own: Certificate) -> answers.SelfAnswer:
    """Return the operator who asks."""
    return answers.SelfAnswer(**dict(operator(shown)), certificate=certificate(own))


def credentials(issued: Credentials, root_certificate: bytes) -> answers.CredentialsAnswer:
    """Return an operator with a new certificate."""
    return answers.CredentialsAnswer(
        **dict(operator(issued.operator)),
        certificate_chain=issued.certificate.chain.decode(),
        root_certificate=root_certificate.decode(),
        not_after=issued.certificate.not_after,
    )


def certificate(shown: Certificate) -> answers.CertificateAnswer:
    """Return a certificate."""
    return answers.CertificateAnswer(
        serial=shown.id,
        state=shown.state,
        issued_at=shown.issued_at,
        not_after=shown.not_after,
    )


def invitation(made: Invitation, host_name: str | None = None) -> answers.InvitationAnswer:
    """Return an invitation, to a new host or to the one of that name."""
    return answers.InvitationAnswer(
        key_id=made.key.id,
        join_line=made.join_line,
        site=made.key.site,
        expires_at=made.key.expires_at,
        host=host_name,
    )


def key(shown: RegistrationKey, hosts: Hosts, now: datetime) -> answers.RegistrationKeyAnswer:
    """Return a registration key."""
    return answers.RegistrationKeyAnswer(
        id=shown.id,
        site=shown.site,
        state=_key_state(shown, now),
        created_at=shown.created_at,
        expires_at=shown.expires_at,
        used_at=shown.used_at,
        revoked_at=shown.revoked_at,
        host=hosts[shown.host_id].name if shown.host_id is not None else None,
        readmits=hosts[shown.readmits].name if shown.readmits is not None else None,
    )


def host(status: HostStatus) -> answers.HostAnswer:
    """Return a host."""
    shown = status.host
    return answers.HostAnswer(
        id=shown.id,
        name=shown.name,
        site=shown.site,
        cloud=shown.cloud,
        hypervisor=shown.hypervisor,
        state=_connection_state(status),
        cause=shown.cause,
        remedy=shown.remedy,
        registered_at=shown.registered_at,
        last_seen_at=status.last_seen_at,
        replication_address=shown.replication_address,
        agent_version=shown.agent_version,
        deny_list_version=shown.deny_list_version,
    )


def host_detail(
    status: HostStatus, certificates: tuple[Certificate, ...]
) -> answers.HostDetailAnswer:
    """Return a host with its certificates and folders."""
    return answers.HostDetailAnswer(
        **dict(host(status)),
        certificates=[certificate(shown) for shown in certificates],
        replica_folders=list(status.host.replica_folders),
        storage_path=status.host.storage_path,
    )


def machine(shown: Machine, hosts: Hosts, protection_id: str | None) -> answers.MachineAnswer:
    """Return a machine with the id of its protection."""
    return answers.MachineAnswer(
        id=shown.id,
        name=shown.name,
        host=hosts[shown.host_id].name,
        site=hosts[shown.host_id].site,
        is_running=shown.is_running,
        disks=[
            answers.MachineDisk(
                disk_id=disk.disk_id,
                name=disk.name,
                size=disk.size,
                storage_class=disk.storage_class,
            )
            for disk in shown.description.disks
        ],
        nics=[
            answers.MachineNic(
                nic_id=nic.nic_id, name=nic.name, network=nic.network, subnet=nic.subnet
            )
            for nic in shown.description.nics
        ],
        protection=protection_id,
    )


def network(shown: Network, hosts: Hosts) -> answers.NetworkAnswer:
    """Return a network."""
    return answers.NetworkAnswer(
        name=shown.name,
        host=hosts[shown.host_id].name,
        site=hosts[shown.host_id].site,
        is_isolated=shown.is_isolated,
        subnets=list(shown.subnets),
    )


def event(line: HistoryLine) -> answers.EventAnswer:
    """Return a line of the history as everybody may see it."""
    return answers.EventAnswer(
        number=line.number,
        occurred_at=line.occurred_at,
        kind=line.kind,
        subject=line.subject,
        detail=line.detail,
    )


def audit_line(line: HistoryLine) -> answers.AuditAnswer:
    """Return a line of the history with who did it, and its place in the chain."""
    return answers.AuditAnswer(**dict(event(line)), actor=line.actor, digest=line.digest.hex())


def _key_state(shown: RegistrationKey, now: datetime) -> KeyState:
    if shown.revoked_at is not None:
        return KeyState.REVOKED
    if shown.used_at is not None:
        return KeyState.USED
    return KeyState.EXPIRED if now >= shown.expires_at else KeyState.UNUSED


def _connection_state(status: HostStatus) -> ConnectionState:
    match status.host.state:
        case HostState.QUARANTINED:
            return ConnectionState.QUARANTINED
        case HostState.REVOKED:
            return ConnectionState.REVOKED
        case HostState.RETIRED:
            return ConnectionState.RETIRED
        case HostState.ACTIVE:
            is_there = status.is_connected
            return ConnectionState.CONNECTED if is_there else ConnectionState.DISCONNECTED
