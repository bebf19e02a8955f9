from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain.certificates import Certificate, CertificateState
from coordinator.domain.events import EventKind
from coordinator.domain.hosts import HostState
from coordinator.domain.identifiers import CloudId, KeyId, OperatorId, SiteId
from coordinator.domain.operators import Operator, OperatorRole
from coordinator.domain.registration_keys import RegistrationKey
from coordinator.domain.sites import Cloud, Site
from coordinator.orchestration.invitations import Invitation
from coordinator.orchestration.operators import Credentials
from coordinator.orchestration.status import HostStatus
from coordinator.store.history import HistoryLine
from coordinator.web import presentation
from replikera.identity import Role
from tests.unit.coordinator.examples import LATER, MACHINE, NOW, SOURCE, TARGET
from tests.unit.coordinator.vaults import BUBBLE

HOSTS = {SOURCE.id: SOURCE, TARGET.id: TARGET}
ANN = Operator(OperatorId("o"), "ann", OperatorRole.OWNER, NOW)
LEAF = Certificate(
    "1f", Role.OPERATOR, "ann", CertificateState.ACTIVE, NOW, LATER, b"hash", b"the chain"
)
KEY = RegistrationKey(KeyId("k"), b"", "a", NOW, LATER)


def test_a_host_is_shown_with_its_connection() -> None:
    shown = presentation.host(HostStatus(SOURCE, is_connected=True, last_seen_at=LATER))
    assert (shown.id, shown.name, shown.site, shown.state) == ("source", "a1", "a", "connected")
    assert (shown.last_seen_at, shown.registered_at) == (LATER, NOW)
    away = presentation.host(HostStatus(SOURCE, is_connected=False, last_seen_at=None))
    assert (away.state, away.last_seen_at, away.cause) == ("disconnected", None, None)


@pytest.mark.parametrize("state", [state for state in HostState if state is not HostState.ACTIVE])
def test_a_host_that_is_not_trusted_says_so_with_a_cause(state: HostState) -> None:
    bad = replace(SOURCE, state=state, cause="Two of it.", remedy="Readmit one.")
    shown = presentation.host_detail(HostStatus(bad, is_connected=True, last_seen_at=None), (LEAF,))
    assert str(shown.state) == str(state)
    assert (shown.cause, shown.remedy) == ("Two of it.", "Readmit one.")
    assert [(leaf.serial, leaf.state) for leaf in shown.certificates] == [("1f", "active")]


def test_a_host_is_shown_with_the_folders_that_it_offers() -> None:
    offering = replace(SOURCE, replica_folders=("/r", "/s"))
    shown = presentation.host_detail(HostStatus(offering, is_connected=True, last_seen_at=None), ())
    assert shown.replica_folders == ["/r", "/s"]


def test_a_machine_names_its_host_and_its_protection() -> None:
    shown = presentation.machine(MACHINE, HOSTS, "protection")
    assert (shown.host, shown.site, shown.protection) == ("a1", "a", "protection")
    assert [(disk.disk_id, disk.size) for disk in shown.disks] == [("disk-1", 1 << 30)]
    assert [nic.network for nic in shown.nics] == ["lan", "storage"]
    (disk,), (nic, _) = MACHINE.description.disks, MACHINE.description.nics
    description = replace(
        MACHINE.description,
        disks=(replace(disk, storage_class="gold"),),
        nics=(replace(nic, subnet="web"),),
    )
    told = presentation.machine(replace(MACHINE, description=description), HOSTS, None)
    assert (told.disks[0].storage_class, told.nics[0].subnet) == ("gold", "web")
    assert presentation.machine(MACHINE, HOSTS, None).protection is None


def test_networks_are_shown_with_their_host() -> None:
    network = presentation.network(BUBBLE, HOSTS)
    assert (network.host, network.site, network.is_isolated) == ("b1", "b", True)


def test_sites_and_clouds_are_shown_by_name() -> None:
    site = presentation.site(Site(SiteId("s"), "north", NOW))
    assert (site.id, site.name, site.created_at) == ("s", "north", NOW)
    cloud = presentation.cloud(Cloud(CloudId("c"), "gold", "north", NOW))
    assert (cloud.id, cloud.name, cloud.site) == ("c", "gold", "north")


def test_an_operator_is_shown_with_a_certificate_where_it_is_his_own() -> None:
    assert presentation.operator(ANN).model_dump() == {
        "id": "o",
        "name": "ann",
        "role": "owner",
        "created_at": NOW,
        "revoked_at": None,
    }
    itself = presentation.operator_itself(ANN, LEAF)
    assert (itself.name, itself.certificate.serial) == ("ann", "1f")
    issued = presentation.credentials(Credentials(ANN, LEAF), b"the root")
    assert (issued.certificate_chain, issued.root_certificate) == ("the chain", "the root")
    assert issued.not_after == LATER


@pytest.mark.parametrize(
    ("key", "state"),
    [
        (KEY, "unused"),
        (replace(KEY, expires_at=NOW), "expired"),
        (replace(KEY, used_at=NOW, host_id=SOURCE.id, expires_at=NOW), "used"),
        (replace(KEY, used_at=NOW, revoked_at=NOW, readmits=TARGET.id), "revoked"),
    ],
)
def test_a_registration_key_tells_what_it_is_good_for(key: RegistrationKey, state: str) -> None:
    shown = presentation.key(key, HOSTS, NOW + timedelta(seconds=1))
    assert shown.state == state
    assert shown.host == ("a1" if key.host_id else None)
    assert shown.readmits == ("b1" if key.readmits else None)


def test_an_invitation_names_the_host_that_it_is_for_only_when_there_is_one() -> None:
    made = Invitation(KEY, "rk1/k/secret")
    assert presentation.invitation(made).host is None
    shown = presentation.invitation(made, "a1")
    assert (shown.key_id, shown.join_line, shown.site, shown.host) == (
        "k",
        "rk1/k/secret",
        "a",
        "a1",
    )


def test_only_the_audit_log_tells_who_did_it() -> None:
    line = HistoryLine(7, NOW, "operator/ann", EventKind.SITE_CREATED, "s", "north", b"\x01\x02")
    event = presentation.event(line).model_dump()
    assert event == {
        "number": 7,
        "occurred_at": NOW,
        "kind": "site-created",
        "subject": "s",
        "detail": "north",
    }
    audit = presentation.audit_line(line).model_dump()
    assert audit == event | {"actor": "operator/ann", "digest": "0102"}
