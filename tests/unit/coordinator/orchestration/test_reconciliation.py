from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from coordinator.domain import reconciliation as rules
from coordinator.domain.certificates import CertificateState
from coordinator.domain.commands import BY_VAULT, by_operator
from coordinator.domain.control import Control, VaultMode
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import ForbiddenError, InvalidValueError, RefusedError
from coordinator.domain.events import EventKind
from coordinator.domain.hello import HostHello
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.identifiers import HostId
from coordinator.domain.operators import OperatorRole
from coordinator.domain.protections import ProtectionState
from coordinator.orchestration.presence import EndReason
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.reconciliation import MissingHost, Reconciliation
from coordinator.orchestration.vault import Vault
from replikera.identity import Role, uri_name
from replikera.trust.deny_list import (
    DeniedCertificate,
    DenyList,
    reopen_deny_list,
    sign_deny_list,
)
from tests.unit.coordinator.asking import new_operator
from tests.unit.coordinator.domain.reconciling import hello, holds
from tests.unit.coordinator.examples import SOURCE, TARGET
from tests.unit.coordinator.vaults import (
    BY_ANN,
    equip,
    make_vault,
    open_orders,
    opened,
    the_job,
    the_protection,
)

BEYOND = hello(number=10_000, history="lost")


@dataclass
class Bench:
    """A vault with its reconciliation, and how often its deny-list was published."""

    vault: Vault
    published: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reconciliation = Reconciliation(
            Control("", VaultMode.SERVING, self.vault.clock.now()), self._publish
        )

    async def _publish(self, vault: Vault) -> None:
        self.published.append((await self.control()).deny_list_version)

    async def control(self) -> Control:
        async with self.vault.store.read() as records:
            return await records.control()

    async def host(self, host_id: HostId) -> Host:
        async with self.vault.store.read() as records:
            return await records.hosts.get(host_id)

    async def heard(self, host: Host, said: HostHello) -> bool:
        """Hear a host as the start of its session does."""
        async with self.vault.store.write() as records:
            is_reconciling = await self.reconciliation.heard(
                records, host, said, self.vault.clock.now()
            )
        await self.reconciliation.finish_if_complete(self.vault)
        return is_reconciling

    async def missing(self) -> tuple[MissingHost, ...]:
        async with self.vault.store.read() as records:
            return await self.reconciliation.missing(records)

    async def events(self, kind: EventKind) -> list[str]:
        async with self.vault.store.read() as records:
            return [line.detail for line in (await records.history.page(kind=kind)).items]

    def list(self, version: int, *serials: int, identities: tuple[str, ...] = ()) -> bytes:
        """Return a deny-list that this vault signed, of a history that it has lost."""
        vault, now = self.vault, self.vault.clock.now()
        end = now + timedelta(days=7)
        found = DenyList(
            vault.record.id,
            version,
            now,
            tuple(DeniedCertificate(at, self.uri(SOURCE.id), end) for at in serials),
            frozenset(identities),
        )
        return sign_deny_list(vault.authority.signer, found)

    def uri(self, name: str) -> str:
        return uri_name(Role.HOST, name, self.vault.record.id)


@pytest.fixture
async def bench(vault: Vault) -> Bench:
    await equip(vault)
    return Bench(vault)


async def own_anchor(bench: Bench) -> HostHello:
    async with bench.vault.store.read() as records:
        head = await records.head()
    return replace(hello(), anchor=(head.number, head.digest))


async def test_a_host_that_knows_no_more_leaves_the_vault_serving(bench: Bench) -> None:
    assert not await bench.heard(SOURCE, await own_anchor(bench))
    assert not await bench.heard(TARGET, hello())
    assert not bench.reconciliation.is_reconciling
    bench.reconciliation.check_serving()
    assert await bench.missing() == ()
    assert (await bench.control()).mode is VaultMode.SERVING


async def test_a_host_that_knows_more_stops_the_vault_and_its_sessions(bench: Bench) -> None:
    await protect_again(bench)
    session = bench.vault.presence.begin(TARGET.id)
    assert await bench.heard(SOURCE, BEYOND)
    assert bench.reconciliation.is_reconciling
    with pytest.raises(RefusedError) as caught:
        bench.reconciliation.check_serving()
    assert caught.value.code == "vault-reconciling"
    assert (await bench.control()).mode is VaultMode.RECONCILING
    (cause,) = await bench.events(EventKind.VAULT_RECONCILING)
    assert "a1 has obeyed line 10000" in cause
    assert session.end_reason is EndReason.RECALLED
    assert await bench.missing() == (MissingHost(TARGET.id, "b1"),)


async def protect_again(bench: Bench) -> None:
    """Name both hosts in a protection whose order is open."""
    await enable_protection(bench.vault, BY_ANN, "web", "b1", "quick")


async def test_it_is_said_once_however_many_hosts_know_more(bench: Bench) -> None:
    await protect_again(bench)
    await bench.heard(SOURCE, BEYOND)
    newer = bench.vault.presence.begin(SOURCE.id)
    await bench.heard(SOURCE, BEYOND)
    assert len(await bench.events(EventKind.VAULT_RECONCILING)) == 1
    # The session of a host that has told is not ended for it again.
    assert newer.end_reason is None


async def test_the_vault_serves_again_when_all_who_matter_have_told(bench: Bench) -> None:
    await protect_again(bench)
    protection = await the_protection(bench.vault)
    assert protection.state is ProtectionState.ENABLING
    await bench.heard(SOURCE, BEYOND)
    session = bench.vault.presence.begin(SOURCE.id)
    said = hello(holds(protection, TARGET.id, epoch_number=6, generation="newer"))
    assert await bench.heard(TARGET, said)
    assert not bench.reconciliation.is_reconciling
    assert session.end_reason is EndReason.RECALLED
    control = await bench.control()
    assert control.mode is VaultMode.SERVING
    assert bench.published == [control.deny_list_version]
    async with bench.vault.store.read() as records:
        head = await records.head()
    assert head.number > 10_000 + rules.SKIPPED_LINES
    assert control.reconciled_number == 10_000 + rules.SKIPPED_LINES
    after = await the_protection(bench.vault)
    assert (after.epoch_number, after.generation) == (6, "newer")
    assert after.state is ProtectionState.FAILED
    assert await open_orders(bench.vault, TARGET.id) == ()
    assert (await the_job(bench.vault, protection.job_id)).cause == rules.VAULT_RESTORED.cause
    assert await bench.vault.store.verify_history() == head


async def test_hosts_of_the_lost_history_do_not_make_it_begin_again(bench: Bench) -> None:
    await bench.heard(SOURCE, BEYOND)
    assert not bench.reconciliation.is_reconciling
    for said in (BEYOND, hello(number=3, history="lost"), hello(number=999_999, history="lost")):
        assert not await bench.heard(TARGET, said)


async def test_an_owner_goes_on_without_a_host(bench: Bench) -> None:
    await protect_again(bench)
    await bench.heard(SOURCE, BEYOND)
    command = by_operator("ann", "key", b"digest")
    with pytest.raises(RefusedError, match="b1") as caught:
        await bench.reconciliation.finish(bench.vault, command, accept_missing=False)
    assert caught.value.code == "hosts-missing"
    assert len(await bench.missing()) == 1
    control = await bench.reconciliation.finish(bench.vault, command, accept_missing=True)
    assert control.mode is VaultMode.SERVING
    bench.reconciliation.check_serving()
    # The same request again is answered; another one has nothing to end.
    assert await bench.reconciliation.finish(bench.vault, command, accept_missing=True) == control
    with pytest.raises(RefusedError) as caught:
        await bench.reconciliation.finish(bench.vault, by_operator("ann"), accept_missing=True)
    assert caught.value.code == "not-reconciling"
    (told,) = await bench.events(EventKind.VAULT_RECONCILED)
    assert "1 of 2 trusted hosts told" in told


async def test_a_claim_that_is_not_to_be_believed_stores_nothing(bench: Bench) -> None:
    with pytest.raises(InvalidValueError):
        await bench.heard(SOURCE, hello(number=1 << 62))
    assert not bench.reconciliation.is_reconciling


async def test_other_evidence_makes_it_begin_too(bench: Bench) -> None:
    await protect_again(bench)
    async with bench.vault.store.write() as records:
        now = bench.vault.clock.now()
        await bench.reconciliation.begin(records, "a certificate that is not in the register", now)
    assert bench.reconciliation.is_reconciling
    assert len(await bench.missing()) == 2
    for host in (SOURCE, TARGET):
        assert await bench.heard(host, hello())
    assert not bench.reconciliation.is_reconciling


async def test_a_newer_deny_list_is_asked_for_and_waited_for(bench: Bench) -> None:
    await bench.heard(TARGET, hello(deny_list_version=5))
    assert bench.reconciliation.wants_deny_list(TARGET.id)
    assert not bench.reconciliation.wants_deny_list(SOURCE.id)
    assert await bench.missing() == (MissingHost(TARGET.id, "b1"),)
    session = bench.vault.presence.begin(TARGET.id)
    session.work_waiting.clear()
    signed = bench.list(5, 77, identities=(bench.uri(SOURCE.id), bench.uri("unknown")))
    await bench.reconciliation.take_deny_list(bench.vault, TARGET.id, signed)
    assert (await bench.host(SOURCE.id)).state is HostState.QUARANTINED
    async with bench.vault.store.read() as records:
        denied = await records.certificates.get("4d")
    assert (denied.state, denied.name, denied.role) == (
        CertificateState.DENIED,
        SOURCE.id,
        Role.HOST,
    )
    assert session.work_waiting.is_set()
    # Published when it was taken, and again with the version that ends it.
    assert bench.published == [6, 7]
    assert not bench.reconciliation.is_reconciling


async def test_an_operator_that_the_lost_history_revoked_stays_revoked(bench: Bench) -> None:
    vault = bench.vault
    credentials = await new_operator(vault, "mallory", OperatorRole.OWNER)
    await bench.heard(TARGET, hello(deny_list_version=5))
    end = vault.clock.now() + timedelta(days=7)
    name = uri_name(Role.OPERATOR, "mallory", vault.record.id)
    denied = DeniedCertificate(credentials.caller.serial, name, end)
    lost = DenyList(vault.record.id, 5, vault.clock.now(), (denied,), frozenset())
    signed = sign_deny_list(vault.authority.signer, lost)
    await bench.reconciliation.take_deny_list(vault, TARGET.id, signed)

    async with vault.store.read() as records:
        operator = await records.operators.get("mallory")
    assert operator.revoked_at is not None
    with pytest.raises(ForbiddenError):
        operator.check_trusted()


async def test_a_deny_list_is_kept_across_a_restart(bench: Bench) -> None:
    await protect_again(bench)
    await bench.heard(TARGET, hello(deny_list_version=5))
    await bench.reconciliation.take_deny_list(
        bench.vault, TARGET.id, bench.list(5, identities=(bench.uri(SOURCE.id),))
    )
    assert (await bench.host(SOURCE.id)).state is HostState.QUARANTINED
    assert (await bench.control()).deny_list_version > 5
    assert Reconciliation(
        replace(await bench.control(), mode=VaultMode.RECONCILING), bench._publish
    ).is_reconciling


async def asked(bench: Bench) -> None:
    """Have both hosts tell, the target with a deny-list that it is asked for."""
    await protect_again(bench)
    await bench.heard(TARGET, replace(BEYOND, deny_list_version=5))


async def test_every_host_shows_its_list_for_versions_say_nothing(bench: Bench) -> None:
    # The vault has forgotten its fifth list, and has made another fifth one since.
    async with bench.vault.store.write() as records:
        control = replace(await records.control(), deny_list_version=5)
        await records.save(Decision((control,)), BY_VAULT)
    await asked(bench)
    assert bench.reconciliation.wants_deny_list(TARGET.id)
    signed = bench.list(5, 77, identities=(bench.uri(SOURCE.id),))
    await bench.reconciliation.take_deny_list(bench.vault, TARGET.id, signed)
    assert (await bench.host(SOURCE.id)).state is HostState.QUARANTINED
    assert not bench.reconciliation.wants_deny_list(TARGET.id)


async def test_a_list_that_nobody_asked_for_changes_nothing(bench: Bench) -> None:
    await bench.reconciliation.take_deny_list(bench.vault, TARGET.id, bench.list(9, 77))
    assert bench.published == []
    async with bench.vault.store.read() as reading:
        assert await reading.certificates.find("4d") is None


async def test_a_list_that_says_nothing_new_is_not_published(bench: Bench) -> None:
    await asked(bench)
    signed = bench.list(5, 77)
    await bench.reconciliation.take_deny_list(bench.vault, TARGET.id, signed)
    assert bench.published == [6]
    await bench.heard(TARGET, replace(BEYOND, deny_list_version=5))
    assert bench.reconciliation.wants_deny_list(TARGET.id)
    await bench.reconciliation.take_deny_list(bench.vault, TARGET.id, signed)
    assert bench.published == [6]
    assert not bench.reconciliation.wants_deny_list(TARGET.id)


async def test_a_denied_certificate_that_has_expired_is_of_no_use(bench: Bench) -> None:
    await asked(bench)
    signed = bench.list(5, 77)
    bench.vault.clock.advance(timedelta(days=8).total_seconds())  # type: ignore[attr-defined]
    await bench.reconciliation.take_deny_list(bench.vault, TARGET.id, signed)
    async with bench.vault.store.read() as reading:
        assert await reading.certificates.find("4d") is None


async def test_a_host_that_was_readmitted_after_a_list_was_made_stays_trusted(bench: Bench) -> None:
    await asked(bench)
    signed = bench.list(5, identities=(bench.uri(SOURCE.id),))
    bench.vault.clock.advance(60)  # type: ignore[attr-defined]
    _, rejoined = SOURCE.rejoined(bench.vault.clock.now(), "with key k")
    async with bench.vault.store.write() as records:
        await records.save(rejoined, BY_VAULT)
    await bench.reconciliation.take_deny_list(bench.vault, TARGET.id, signed)
    assert (await bench.host(SOURCE.id)).state is HostState.ACTIVE


async def test_a_host_that_was_away_still_shows_what_it_was_told(bench: Bench) -> None:
    await bench.heard(SOURCE, BEYOND)
    assert not bench.reconciliation.is_reconciling
    late = replace(hello(number=9_000, history="lost"), deny_list_version=1)
    assert not await bench.heard(TARGET, late)
    assert bench.reconciliation.wants_deny_list(TARGET.id)
    signed = bench.list(1, identities=(bench.uri(SOURCE.id),))
    await bench.reconciliation.take_deny_list(bench.vault, TARGET.id, signed)
    assert (await bench.host(SOURCE.id)).state is HostState.QUARANTINED
    # One of this history has nothing to show.
    assert not await bench.heard(TARGET, replace(await own_anchor(bench), deny_list_version=1))
    assert not bench.reconciliation.wants_deny_list(TARGET.id)


@pytest.fixture
async def foreign(tmp_path: Path) -> AsyncIterator[Vault]:
    folder = tmp_path / "foreign"
    folder.mkdir()
    await make_vault(folder)
    async with opened(folder) as vault:
        yield vault


async def test_a_list_that_this_vault_did_not_sign_is_refused(bench: Bench, foreign: Vault) -> None:
    other = Bench(foreign)
    await asked(bench)
    for signed in (b"", b"garbage", other.list(9, 77)):
        with pytest.raises(RefusedError) as caught:
            await bench.reconciliation.take_deny_list(bench.vault, TARGET.id, signed)
        assert caught.value.code == "deny-list-not-believed"
    assert (await bench.control()).deny_list_version == 0


async def test_a_list_that_many_hosts_show_is_taken_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await protect_again(bench)
    signed = bench.list(5, 77)
    opened_lists = []

    def counted(signed: bytes, **more: Any) -> DenyList:
        opened_lists.append(signed)
        return reopen_deny_list(signed, **more)

    monkeypatch.setattr("coordinator.orchestration.reconciliation.reopen_deny_list", counted)
    for host in (SOURCE, TARGET):
        await bench.heard(host, replace(BEYOND, deny_list_version=5))
    for host in (SOURCE, TARGET):
        assert bench.reconciliation.is_reconciling
        await bench.reconciliation.take_deny_list(bench.vault, host.id, signed)
    assert opened_lists == [signed]
    assert not bench.reconciliation.is_reconciling


async def test_a_host_that_is_revoked_meanwhile_is_not_waited_for_any_more(bench: Bench) -> None:
    await protect_again(bench)
    await bench.heard(SOURCE, BEYOND)
    assert bench.reconciliation.is_reconciling
    async with bench.vault.store.write() as records:
        await records.save(Decision((replace(TARGET, state=HostState.REVOKED),)), BY_VAULT)
    await bench.reconciliation.finish_if_complete(bench.vault)
    assert bench.reconciliation.is_reconciling  # looked at a moment ago
    bench.vault.clock.advance(10)  # type: ignore[attr-defined]
    await bench.reconciliation.finish_if_complete(bench.vault)
    assert not bench.reconciliation.is_reconciling


async def test_a_vault_without_hosts_has_nobody_to_ask(vault: Vault) -> None:
    bench = Bench(vault)
    async with vault.store.write() as records:
        await bench.reconciliation.begin(records, "restored", vault.clock.now())
    await bench.reconciliation.finish_if_complete(vault)
    assert not bench.reconciliation.is_reconciling
