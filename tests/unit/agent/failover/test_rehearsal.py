import errno
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.failover.disks import DiskFolders
from agent.failover.outcome import RehearsalError, RehearsalRequest, RehearsalStarted
from agent.failover.records import RehearsalRecords, RehearsalState
from agent.failover.rehearsal import FIRST_POLL_SECONDS, Rehearsals
from agent.hypervisor.interface import GuestHealth, HypervisorError, Machine, Network
from agent.replica.errors import ReplicaError
from tests.unit.agent.fakes import (
    HEALTHY,
    SILENT,
    AutoClock,
    FakeHypervisor,
    FakeReplica,
    Fuse,
    FusedFiles,
    InlineWorker,
    Killed,
    description,
)

REHEARSAL = "11111111-0000-4000-8000-000000000001"
ORDER = "22222222-0000-4000-8000-000000000002"
PROTECTION = "33333333-0000-4000-8000-000000000003"
GENERATION = "44444444-0000-4000-8000-000000000004"
FOREIGN = Machine(description("web01", "foreign"), is_running=True, tag="")
OTHER = Machine(
    description("other - test", "other"),
    is_running=True,
    tag="99999999-0000-4000-8000-000000000009",
)


class Site:
    """One secondary host; `agent` starts the agent anew on what is there."""

    def __init__(self, folder: Path, fuse: Fuse | None = None) -> None:
        self.folder = folder
        self.files = FusedFiles(fuse)
        self.hypervisor = FakeHypervisor(folder / "storage", self.files.fuse)
        self.hypervisor.add_foreign(FOREIGN)
        self.hypervisor.add_foreign(OTHER)
        self.replica = FakeReplica(self.files, GENERATION, [6, 7])
        self.clock = AutoClock()
        self.progress: list[str] = []
        (folder / "state").mkdir(parents=True)

    def agent(self) -> Rehearsals:
        return Rehearsals(
            self.records,
            DiskFolders(self.files, InlineWorker(), self.hypervisor.storage_path),
            self.hypervisor,
            self._replica_of,
            self.clock,
        )

    def _replica_of(self, protection_id: str) -> FakeReplica:
        if protection_id != PROTECTION:
            raise ReplicaError("unknown-protection", "No replica.", "Enable the protection.")
        return self.replica

    @property
    def records(self) -> RehearsalRecords:
        return RehearsalRecords(self.files, InlineWorker(), self.folder / "state" / "rehearsals")

    @property
    def disks(self) -> Path:
        return self.folder / "storage" / "rehearsals" / REHEARSAL

    def burn(self, at: int | None) -> Fuse:
        self.files.fuse = self.hypervisor.fuse = Fuse(at)
        return self.files.fuse

    async def start(self, request: RehearsalRequest | None = None) -> RehearsalStarted:
        return await self.agent().start(request or REQUEST, self.progress.append)

    def check_foreign_machines(self) -> None:
        assert self.hypervisor.machines["foreign"] == FOREIGN
        assert self.hypervisor.machines["other"] == OTHER

    def check_nothing_left(self) -> None:
        self.check_foreign_machines()
        assert self.hypervisor.tagged(REHEARSAL) == []
        assert not self.disks.exists()
        assert not self.replica.pinned
        assert not [network for network in self.hypervisor.host_networks if network.tag]


REQUEST = RehearsalRequest(
    rehearsal_id=REHEARSAL,
    order_id=ORDER,
    protection_id=PROTECTION,
    generation=GENERATION,
    sequence=7,
    machine_name="web01 - test",
    networks={"nic-0": "Test"},
    guest_timeout=timedelta(seconds=30),
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_started_machine_has_the_points_disks_and_the_mapped_network(site: Site) -> None:
    started = await site.start()
    machine = site.hypervisor.machines[started.machine_id]
    assert machine.is_running
    assert machine.description.name == "web01 - test"
    assert [nic.network for nic in machine.description.nics] == ["Test"]
    assert {disk.disk_id: disk.path for disk in started.disks} == {
        "disk-a": site.disks / "system.vhdx",
        "disk-b": site.disks / "data.vhdx",
    }
    assert site.hypervisor.definitions[-1].disk_paths["disk-b"].read_text() == "disk-b at 7"
    assert [disk.size for disk in started.disks] == [1 << 20, 2 << 20]
    assert started.networks == {"nic-0": "Test"}
    assert started.guest == HEALTHY


async def test_every_step_is_measured_and_told(site: Site) -> None:
    site.hypervisor.guests = [SILENT, SILENT, HEALTHY]
    started = await site.start()
    names = [step.name for step in started.steps]
    assert names == [
        "recover disks", "define machine", "check isolation", "start machine", "guest answers"
    ]  # fmt: skip
    assert site.progress == names
    *others, answering = (step.seconds for step in started.steps)
    assert others == [0, 0, 0, 0]
    assert answering == pytest.approx(3 * FIRST_POLL_SECONDS)


async def test_a_guest_that_takes_its_time_is_asked_less_often(site: Site) -> None:
    site.hypervisor.guests = [SILENT] * 20 + [HEALTHY]
    started = await site.start()
    assert started.steps[-1].seconds > 15


async def test_record_names_the_order_before_anything_is_made(site: Site) -> None:
    site.replica.error = ValueError("the process died here")
    with pytest.raises(ValueError, match="died"):
        await site.start()
    record = await site.records.get(REHEARSAL)
    assert record is not None
    assert (record.order_id, record.state) == (ORDER, RehearsalState.STARTING)


async def test_started_rehearsal_is_on_record(site: Site) -> None:
    await site.start()
    record = await site.records.get(REHEARSAL)
    assert record is not None
    assert (record.state, record.sequence, record.machine_name) == ("started", 7, "web01 - test")


async def test_adapter_without_a_mapping_stays_disconnected(site: Site) -> None:
    started = await site.start(replace(REQUEST, networks={}))
    assert started.networks == {"nic-0": ""}


async def ticks_of_a_start(folder: Path) -> int:
    site = Site(folder)
    fuse = site.burn(None)
    await site.start()
    return fuse.ticks


async def test_start_killed_at_any_moment_succeeds_when_run_again(tmp_path: Path) -> None:
    count = await ticks_of_a_start(tmp_path / "counted")
    assert count > 20
    for moment in range(1, count + 1):
        site = Site(tmp_path / str(moment))
        site.burn(moment)
        with pytest.raises(Killed):
            await site.start()
        site.burn(None)
        started = await site.start()
        (machine,) = site.hypervisor.tagged(REHEARSAL)
        assert machine.description.machine_id == started.machine_id
        assert machine.is_running
        assert len(site.hypervisor.definitions) == 1
        assert {path.name: path.read_text() for path in site.disks.iterdir()} == {
            "system.vhdx": "disk-a at 7",
            "data.vhdx": "disk-b at 7",
        }
        site.check_foreign_machines()


async def test_start_that_is_run_again_after_its_end_answers_the_same_machine(site: Site) -> None:
    first = await site.start()
    again = await site.start()
    assert (again.machine_id, again.disks) == (first.machine_id, first.disks)
    assert len(site.hypervisor.definitions) == 1
    assert site.replica.made == [7]


async def test_start_that_goes_on_reads_the_isolation_back_again(site: Site) -> None:
    started = await site.start()
    moved = site.hypervisor.machines[started.machine_id]
    nics = tuple(replace(nic, network="LAN") for nic in moved.description.nics)
    site.hypervisor.machines[started.machine_id] = replace(
        moved, description=replace(moved.description, nics=nics)
    )
    assert (await failure_of(site)).code == "network-not-isolated"


async def test_start_killed_at_any_moment_can_be_cleaned_up(tmp_path: Path) -> None:
    count = await ticks_of_a_start(tmp_path / "counted")
    for moment in range(1, count + 1):
        site = Site(tmp_path / str(moment))
        site.burn(moment)
        with pytest.raises(Killed):
            await site.start()
        site.burn(None)
        await site.agent().clean_up(REHEARSAL, PROTECTION)
        site.check_nothing_left()
        assert await site.records.get(REHEARSAL) is None


async def test_clean_up_killed_at_any_moment_ends_when_run_again(tmp_path: Path) -> None:
    counted = Site(tmp_path / "counted")
    await counted.start()
    fuse = counted.burn(None)
    expected = (await counted.agent().clean_up(REHEARSAL, PROTECTION)).removed
    assert fuse.ticks > 8
    for moment in range(1, fuse.ticks + 1):
        site = Site(tmp_path / str(moment))
        await site.start()
        site.burn(moment)
        with pytest.raises(Killed):
            await site.agent().clean_up(REHEARSAL, PROTECTION)
        site.burn(None)
        was_on_record = await site.records.get(REHEARSAL) is not None
        again = await site.agent().clean_up(REHEARSAL, PROTECTION)
        site.check_nothing_left()
        assert await site.records.get(REHEARSAL) is None
        names = [Path(name).name for name in again.removed]
        assert names == ([Path(name).name for name in expected] if was_on_record else [])


async def test_clean_up_removes_machine_and_disks_and_names_them(site: Site) -> None:
    await site.start()
    cleaned = await site.agent().clean_up(REHEARSAL, PROTECTION)
    site.check_nothing_left()
    assert cleaned.removed == (
        "machine web01 - test",
        str(site.disks / "data.vhdx"),
        str(site.disks / "system.vhdx"),
        str(site.disks),
    )


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_repeated_clean_up_finds_nothing_and_succeeds(site: Site, times: int) -> None:
    await site.start()
    await site.agent().clean_up(REHEARSAL, PROTECTION)
    for _ in range(times):
        assert (await site.agent().clean_up(REHEARSAL, PROTECTION)).removed == ()
    site.check_nothing_left()


async def test_clean_up_of_what_never_was_succeeds(site: Site) -> None:
    assert (await site.agent().clean_up(REHEARSAL, PROTECTION)).removed == ()
    site.check_foreign_machines()


async def test_clean_up_without_a_record_finds_everything_by_tag(site: Site) -> None:
    await site.start()
    await site.records.remove(REHEARSAL)
    assert len((await site.agent().clean_up(REHEARSAL, PROTECTION)).removed) == 4
    site.check_nothing_left()


async def test_clean_up_that_leaves_a_machine_is_no_success(site: Site) -> None:
    await site.start()
    site.hypervisor.refuses_removal = True
    with pytest.raises(RehearsalError, match="still shows: machine web01 - test") as caught:
        await site.agent().clean_up(REHEARSAL, PROTECTION)
    assert caught.value.code == "clean-up-incomplete"
    assert await site.records.get(REHEARSAL) is not None
    site.hypervisor.refuses_removal = False
    await site.agent().clean_up(REHEARSAL, PROTECTION)
    site.check_nothing_left()


async def failure_of(site: Site, request: RehearsalRequest = REQUEST) -> RehearsalError:
    """Return why a start failed, with proof that nothing but the record is left."""
    with pytest.raises(RehearsalError) as caught:
        await site.start(request)
    site.check_nothing_left()
    record = await site.records.get(REHEARSAL)
    assert record is not None
    assert record.state is RehearsalState.FAILED
    assert record.failure.startswith(caught.value.code)
    assert caught.value.remedy.endswith(".")
    return caught.value


def lan(site: Site) -> RehearsalRequest:
    return replace(REQUEST, networks={"nic-0": "LAN"})


def connected_to_lan_instead(site: Site) -> RehearsalRequest:
    site.hypervisor.connects_instead = "LAN"
    return replace(REQUEST, networks={"nic-0": ""})


def unknown_network(site: Site) -> RehearsalRequest:
    return replace(REQUEST, networks={"nic-0": "Nowhere"})


@pytest.mark.parametrize("arrange", [lan, connected_to_lan_instead, unknown_network])
async def test_machine_on_a_network_that_is_not_isolated_is_never_started(
    site: Site, arrange: Callable[[Site], RehearsalRequest]
) -> None:
    failure = await failure_of(site, arrange(site))
    assert failure.code == "network-not-isolated"
    assert site.hypervisor.started == []


async def test_machine_on_another_isolated_network_than_ordered_is_never_started(
    site: Site,
) -> None:
    site.hypervisor.host_networks += (Network("Other test", is_isolated=True, subnets=()),)
    site.hypervisor.connects_instead = "Other test"
    assert (await failure_of(site)).code == "network-not-as-ordered"
    assert site.hypervisor.started == []


async def test_guest_that_never_answers_fails_after_its_time(site: Site) -> None:
    site.hypervisor.guests = [SILENT]
    failure = await failure_of(site)
    assert failure.code == "guest-not-answering"
    assert "30 seconds" in failure.cause
    assert site.clock.elapsed == pytest.approx(30)


async def test_guest_that_stays_ill_fails_with_its_own_words(site: Site) -> None:
    site.hypervisor.guests = [GuestHealth(True, False, "record 3 is damaged", 2)]
    failure = await failure_of(site)
    assert failure.code == "guest-not-healthy"
    assert "record 3 is damaged" in failure.cause


async def test_full_volume_is_refused_before_a_byte_is_written(site: Site) -> None:
    site.files.free = 1000
    failure = await failure_of(site)
    assert failure.code == "disk-full"
    assert str(site.disks) in failure.cause


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ReplicaError("replica-damaged", "It is damaged.", "Resync."), "replica-damaged"),
        (OSError(errno.ENOSPC, "no space", "/x"), "disk-full"),
        (OSError(errno.EIO, "input/output error", "/x"), "storage-error"),
        (HypervisorError("bad-disk", "The disk is bad.", "Replace it."), "bad-disk"),
    ],
)
async def test_half_made_disks_of_a_failed_recovery_are_removed(
    site: Site, error: Exception, code: str
) -> None:
    site.replica.error = error
    assert (await failure_of(site)).code == code


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (replace(REQUEST, sequence=5), "unknown-point"),
        (replace(REQUEST, generation=ORDER), "unknown-point"),
        (replace(REQUEST, protection_id=ORDER), "unknown-protection"),
    ],
)
async def test_point_that_is_not_here_is_named(
    site: Site, request_: RehearsalRequest, code: str
) -> None:
    assert (await failure_of(site, request_)).code == code


async def test_failure_with_a_failed_removal_tells_both(site: Site) -> None:
    site.hypervisor.guests = [SILENT]
    site.hypervisor.refuses_removal = True
    with pytest.raises(RehearsalError, match=r"did not answer.*still shows.*Clean") as caught:
        await site.start()
    assert caught.value.code == "guest-not-answering"


async def test_failed_rehearsal_can_be_cleaned_up(site: Site) -> None:
    site.hypervisor.guests = [SILENT]
    await failure_of(site)
    assert (await site.agent().clean_up(REHEARSAL, PROTECTION)).removed == ()
    assert await site.records.get(REHEARSAL) is None


async def test_another_order_does_not_touch_a_started_rehearsal(site: Site) -> None:
    started = await site.start()
    with pytest.raises(RehearsalError, match=f"started by order {ORDER}"):
        await site.start(replace(REQUEST, order_id=PROTECTION))
    assert site.hypervisor.machines[started.machine_id].is_running


async def test_clean_up_during_a_start_is_refused(site: Site) -> None:
    agent = site.agent()
    refused: list[str] = []

    async def clean_up_now() -> None:
        with pytest.raises(RehearsalError) as caught:
            await agent.clean_up(REHEARSAL, PROTECTION)
        refused.append(caught.value.code)

    site.hypervisor.on_health = clean_up_now
    await agent.start(REQUEST, site.progress.append)
    assert refused == ["test-failover-busy"]
    await agent.clean_up(REHEARSAL, PROTECTION)
    site.check_nothing_left()


async def test_machine_with_a_disk_that_the_point_lacks_is_refused(site: Site) -> None:
    whole = site.replica.machine
    site.replica.described = whole.to_json()
    site.replica.machine = replace(whole, disks=whole.disks[:1])
    failure = await failure_of(site)
    assert failure.code == "disk-missing"
    assert "data.vhdx" in failure.cause


async def test_description_that_is_none_is_refused(site: Site) -> None:
    site.replica.described = b"{}"
    assert (await failure_of(site)).code == "bad-machine-description"


@pytest.mark.parametrize("rehearsal_id", ["", "../../x", f"A{REHEARSAL[1:]}"])
async def test_rehearsal_id_that_is_no_uuid_is_refused(site: Site, rehearsal_id: str) -> None:
    with pytest.raises(RehearsalError, match="not a UUID"):
        await site.start(replace(REQUEST, rehearsal_id=rehearsal_id))
    with pytest.raises(RehearsalError, match="not a UUID"):
        await site.agent().clean_up(rehearsal_id, PROTECTION)
    site.check_foreign_machines()


async def test_started_rehearsal_uses_its_replica_until_it_is_cleaned_up(site: Site) -> None:
    await site.start()
    assert await site.agent().using(PROTECTION) == (REHEARSAL,)
    assert await site.agent().using(GENERATION) == ()
    await site.agent().clean_up(REHEARSAL, PROTECTION)
    assert await site.agent().using(PROTECTION) == ()


async def test_failed_rehearsal_uses_nothing(site: Site) -> None:
    site.hypervisor.guests = [SILENT]
    with pytest.raises(RehearsalError):
        await site.start()
    assert await site.agent().using(PROTECTION) == ()


async def test_what_is_not_cleaned_up_is_held_whatever_became_of_it(site: Site) -> None:
    assert await site.agent().held() == ()
    site.hypervisor.guests = [SILENT]
    with pytest.raises(RehearsalError):
        await site.start()
    (record,) = await site.agent().held()
    assert (record.rehearsal_id, record.state) == (REHEARSAL, RehearsalState.FAILED)
    await site.agent().clean_up(REHEARSAL, PROTECTION)
    assert await site.agent().held() == ()


async def test_a_record_that_cannot_be_read_is_not_held(site: Site) -> None:
    await site.start()
    (path,) = (site.folder / "state" / "rehearsals").iterdir()
    path.write_text("{")
    assert await site.agent().held() == ()


async def test_the_base_is_kept_before_disks_stand_on_it_and_until_they_are_gone(
    site: Site,
) -> None:
    seen: list[bool] = []
    site.replica.on_unpin = lambda: seen.append(site.disks.exists())
    await site.start()
    assert site.replica.pinned == {REHEARSAL: 7}
    await site.agent().clean_up(REHEARSAL, PROTECTION)
    assert (seen, site.replica.pinned) == ([False], {})


async def test_a_clean_up_that_cannot_release_the_base_is_no_success(site: Site) -> None:
    await site.start()

    def fail() -> None:
        raise ReplicaError("storage-error", "The volume failed.", "Check it.")

    site.replica.on_unpin = fail
    with pytest.raises(ReplicaError, match="volume failed"):
        await site.agent().clean_up(REHEARSAL, PROTECTION)
    assert await site.records.get(REHEARSAL) is not None
    site.replica.on_unpin = lambda: None
    await site.agent().clean_up(REHEARSAL, PROTECTION)
    site.check_nothing_left()


async def test_pins_that_cannot_be_read_do_not_keep_a_test_from_being_cleaned_up(
    site: Site,
) -> None:
    await site.start()

    def fail() -> None:
        raise ReplicaError("pins-damaged", "Nobody knows.", "Clean up all test failovers.")

    site.replica.on_unpin = fail
    await site.agent().clean_up(REHEARSAL, PROTECTION)
    assert await site.records.get(REHEARSAL) is None
    assert site.hypervisor.tagged(REHEARSAL) == []


async def test_only_a_pin_of_which_nothing_else_is_left_is_forgotten(site: Site) -> None:
    await site.start()
    await site.agent().release_forgotten([site.replica])
    assert site.replica.pinned == {REHEARSAL: 7}
    await site.records.remove(REHEARSAL)
    await site.agent().release_forgotten([site.replica])
    assert site.replica.pinned == {REHEARSAL: 7}, "a machine runs on it"
    await site.agent().clean_up(REHEARSAL, ORDER)
    assert site.replica.pinned == {REHEARSAL: 7}, "the order named a replica that is not there"
    await site.agent().release_forgotten([site.replica])
    site.check_nothing_left()


NETWORK = "LAN - test 11111111"
WITH_NETWORK = replace(REQUEST, networks={"nic-0": NETWORK}, created_networks=(NETWORK,))


async def test_a_network_of_its_own_is_made_and_goes_with_it(site: Site) -> None:
    started = await site.start(WITH_NETWORK)
    assert started.networks == {"nic-0": NETWORK}
    assert Network(NETWORK, is_isolated=True, subnets=(), tag=REHEARSAL) in (
        await site.hypervisor.networks()
    )
    cleaned = await site.agent().clean_up(REHEARSAL, PROTECTION)
    assert f"network {NETWORK}" in cleaned.removed
    site.check_nothing_left()


async def test_with_a_network_of_its_own_it_may_be_killed_at_any_moment(tmp_path: Path) -> None:
    counted = Site(tmp_path / "counted")
    fuse = counted.burn(None)
    await counted.start(WITH_NETWORK)
    for moment in range(1, fuse.ticks + 1):
        site = Site(tmp_path / str(moment))
        site.burn(moment)
        with pytest.raises(Killed):
            await site.start(WITH_NETWORK)
        site.burn(None)
        if moment % 2:
            assert (await site.start(WITH_NETWORK)).networks == {"nic-0": NETWORK}
        await site.agent().clean_up(REHEARSAL, PROTECTION)
        site.check_nothing_left()


async def test_a_failed_start_leaves_no_network(site: Site) -> None:
    site.hypervisor.guests = [SILENT]
    await failure_of(site, WITH_NETWORK)
