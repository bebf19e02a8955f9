"""What the agent promised its vault survives every power cut: orders, runs, control states, credentials, deny-lists."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.control.anchor import ControlAnchor
from agent.control.deny_lists import DenyLists
from agent.control.ledger import OrderLedger
from agent.control.membership import Membership, MembershipFolder, renewal_name
from agent.control.run import begin_run
from agent.replica.lineage import Lineage, create_lineage, open_lineage
from agent.source.grants import GrantFolder, version_of
from replikera.denials import Denials
from replikera.identity import Role
from replikera.ports.files import Files
from replikera.wire.v1 import orders_pb2
from tests.support.authority import VAULT_ID
from tests.support.crash_files import CrashFiles
from tests.support.grants import GrantOffice, terms
from tests.support.power_cuts import empty_files, power_cuts
from tests.support.raw_images import RawImages
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import ACCEPTED, PROTECTION
from tests.support.virtual_clock import InlineWorker, VirtualClock

pytestmark = pytest.mark.simulation

STATE = Path("/state")
A = "aaaaaaaa-0000-4000-8000-000000000001"
OFFICE = GrantOffice(terms(PROTECTION, A, "s", "t"))


async def opened_ledger(files: Files) -> OrderLedger:
    ledger = OrderLedger(files, InlineWorker(), VirtualClock(), STATE / "orders")
    await ledger.open()
    return ledger


async def outcome_after(files: Files) -> str | None:
    """Return what a ledger answers when the order comes now."""
    outcome = await (await opened_ledger(files)).begin(A)
    return outcome.WhichOneof("result") if outcome is not None else None


async def test_a_withdrawal_that_was_answered_bars_the_order_for_good() -> None:
    files = empty_files(STATE)
    ledger = await opened_ledger(files)
    during, after = await power_cuts(files, lambda: ledger.withdraw(A))
    assert {await outcome_after(state) for state in during} == {None, "withdrawn"}
    assert {await outcome_after(state) for state in after} == {"withdrawn"}


async def test_an_order_that_began_is_not_withdrawn_whatever_a_cut_leaves() -> None:
    files = empty_files(STATE)
    ledger = await opened_ledger(files)
    await ledger.begin(A)
    during, after = await power_cuts(files, lambda: ledger.withdraw(A))
    for state in (*during, *after):
        assert await (await opened_ledger(state)).withdraw(A) is None


async def test_an_outcome_that_was_sent_is_the_outcome_for_good() -> None:
    files = empty_files(STATE)
    ledger = await opened_ledger(files)
    await ledger.begin(A)
    done = orders_pb2.OrderOutcome(order_id=A, done=orders_pb2.Done())
    during, after = await power_cuts(files, lambda: ledger.finish(done))
    assert {await outcome_after(state) for state in during} == {None, "done"}
    for state in after:
        assert await (await opened_ledger(state)).withdraw(A) == done


async def test_no_two_runs_that_spoke_have_the_same_count() -> None:
    files = empty_files(STATE)
    path = STATE / "starts.json"

    async def begin() -> None:
        begin_run(files, path, SeededRandomness(1))

    await begin()
    during, after = await power_cuts(files, begin)
    again = SeededRandomness(2)
    assert {begin_run(state, path, again).start_count for state in during} == {2, 3}
    assert {begin_run(state, path, again).start_count for state in after} == {3}


async def anchor_in(files: Files) -> ControlAnchor:
    anchor = ControlAnchor(files, InlineWorker(), STATE / "control.json")
    await anchor.open()
    return anchor


async def test_a_control_state_that_was_obeyed_is_never_forgotten() -> None:
    files = empty_files(STATE)
    anchor = await anchor_in(files)
    await anchor.raise_to(1, b"a" * 32)
    during, after = await power_cuts(files, lambda: anchor.raise_to(2, b"b" * 32))
    old, new = (1, b"a" * 32), (2, b"b" * 32)
    found = [await anchor_in(state) for state in during]
    assert {(anchor.number, anchor.digest) for anchor in found} == {old, new}
    found = [await anchor_in(state) for state in after]
    assert {(anchor.number, anchor.digest) for anchor in found} == {new}


async def test_a_host_has_its_old_credentials_or_its_new_ones() -> None:
    membership = Membership(VAULT_ID, "home", "host-1", "vault.test:7402", "a")
    old, new = (OFFICE.authority.issue(Role.HOST, "host-1") for _ in range(2))
    files = empty_files(STATE)

    def folder(files: Files) -> MembershipFolder:
        return MembershipFolder(files, STATE / "identity")

    async def join() -> None:
        folder(files).adopt("join-1", membership, old)

    async def renew() -> None:
        folder(files).adopt(renewal_name(old), membership, new)

    during, after = await power_cuts(files, join)
    for state in during:
        if folder(state).is_complete():
            assert folder(state).load() == (membership, old)
    assert all(folder(state).load() == (membership, old) for state in after)
    during, after = await power_cuts(files, renew)
    found = [folder(state).load()[1] for state in during]
    assert old in found
    assert new in found
    assert all(entry in (old, new) for entry in found)
    assert all(folder(state).load()[1] == new for state in after)
    for state in during:
        folder(state).adopt(renewal_name(old), membership, new)
        assert folder(state).load() == (membership, new)


async def test_a_key_that_was_shown_to_the_vault_is_used_again() -> None:
    files = empty_files(STATE)
    keys: list[bytes] = []

    async def make() -> None:
        keys.append(MembershipFolder(files, STATE / "identity").pending_key("join-1"))

    during, after = await power_cuts(files, make)
    for state in during:
        pending = MembershipFolder(state, STATE / "identity").pending_key("join-1")
        assert pending.startswith(b"-----BEGIN")
    found = {MembershipFolder(s, STATE / "identity").pending_key("join-1") for s in after}
    assert found == set(keys)


async def deny_lists_in(files: Files) -> DenyLists:
    lists = DenyLists(
        files,
        InlineWorker(),
        VirtualClock(),
        STATE / "deny-list",
        Denials(),
        vault_id=VAULT_ID,
        root_certificate=OFFICE.authority.root_pem,
    )
    await lists.open()
    return lists


async def test_a_deny_list_that_was_stored_is_never_forgotten() -> None:
    files = empty_files(STATE)
    lists = await deny_lists_in(files)
    await lists.store(OFFICE.deny_list(1, "x"))
    during, after = await power_cuts(files, lambda: lists.store(OFFICE.deny_list(2, "y")))
    assert {(await deny_lists_in(state)).version for state in during} == {1, 2}
    assert {(await deny_lists_in(state)).version for state in after} == {2}


async def test_a_grant_that_is_presented_survives() -> None:
    files = empty_files(STATE)
    folder = GrantFolder(files, STATE)
    folder.save(PROTECTION, OFFICE.grant(version=1))

    async def save() -> None:
        folder.save(PROTECTION, OFFICE.grant(version=2))

    def version(state: CrashFiles) -> int:
        return version_of(GrantFolder(state, STATE).load(PROTECTION))

    during, after = await power_cuts(files, save)
    assert {version(state) for state in during} == {1, 2}
    assert {version(state) for state in after} == {2}


async def test_a_grant_s_version_that_was_used_never_sinks() -> None:
    files = empty_files(STATE)
    lineage = create_lineage(files, STATE / PROTECTION, ACCEPTED, RawImages())
    lineage.note_grant(3)
    during, after = await power_cuts(files, noting(lineage, 4))

    def version(state: CrashFiles) -> int:
        again = open_lineage(state, STATE / PROTECTION, RawImages())
        assert again is not None
        return again.grant_version

    assert {version(state) for state in during} == {3, 4}
    assert {version(state) for state in after} == {4}


def noting(lineage: Lineage, version: int) -> Callable[[], Awaitable[None]]:
    async def note() -> None:
        lineage.note_grant(version)

    return note
