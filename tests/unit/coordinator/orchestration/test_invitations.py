from datetime import timedelta

import pytest

from coordinator.domain.commands import by_operator
from coordinator.domain.errors import IllegalTransitionError, RefusedError, UnknownObjectError
from coordinator.domain.events import EventKind
from coordinator.orchestration.invitations import invite_host, readmit_host
from coordinator.orchestration.sites import create_site
from coordinator.orchestration.trust import retire_host
from coordinator.orchestration.vault import Vault
from replikera.enrolment import parse_join_line
from tests.unit.coordinator.examples import SOURCE
from tests.unit.coordinator.vaults import BY_ANN, kinds, save

HOUR = timedelta(hours=1)


async def test_an_invitation_tells_where_and_whom_to_trust_and_keeps_no_secret(
    vault: Vault,
) -> None:
    await create_site(vault, BY_ANN, "a")
    invitation = await invite_host(vault, BY_ANN, "a", HOUR)
    line = parse_join_line(invitation.join_line)
    assert line.key_id == invitation.key.id
    assert line.address == "vault.test:7401"
    assert line.root_fingerprint == vault.authority.fingerprint
    await vault.store.close()
    for path in vault.store.path.parent.glob("vault.db*"):
        assert line.secret.encode() not in path.read_bytes()


async def test_a_host_is_invited_to_a_site_that_there_is(vault: Vault) -> None:
    with pytest.raises(UnknownObjectError) as caught:
        await invite_host(vault, BY_ANN, "nowhere", HOUR)
    assert "replikera site create" in caught.value.remedy
    site = await create_site(vault, BY_ANN, "a")
    assert (await invite_host(vault, BY_ANN, site.id, HOUR)).key.site == "a"


async def test_a_readmission_is_for_one_host_and_changes_nothing_for_it_yet(vault: Vault) -> None:
    await save(vault, SOURCE)
    invitation = await readmit_host(vault, BY_ANN, "a1", "examined", HOUR)
    assert (invitation.key.readmits, invitation.key.site) == (SOURCE.id, SOURCE.site)
    async with vault.store.read() as records:
        assert await records.hosts.get("a1") == SOURCE
        assert await records.keys.get(invitation.key.id) == invitation.key
    assert (await kinds(vault))[-1] == EventKind.HOST_READMITTED


async def test_a_host_that_is_gone_for_good_is_not_readmitted(vault: Vault) -> None:
    await save(vault, SOURCE)
    gone = await retire_host(vault, BY_ANN, "a1", "")
    with pytest.raises(IllegalTransitionError):
        await readmit_host(vault, BY_ANN, gone.id, "", HOUR)


async def test_a_join_line_is_told_once(vault: Vault) -> None:
    await save(vault, SOURCE)
    again = by_operator("ann", "key-1", b"digest")
    await readmit_host(vault, again, "a1", "", HOUR)
    with pytest.raises(RefusedError) as caught:
        await readmit_host(vault, again, "a1", "", HOUR)
    assert caught.value.code == "invitation-told-already"
    async with vault.store.read() as records:
        assert len(await records.keys.all()) == 1
