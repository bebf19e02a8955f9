"""Rehearsals (test failovers): recover one point beside the replica, isolated, start it, and remove it all again.

Whatever a rehearsal makes carries its id: machines as their tag, disks as their folder, the pin as its holder. A
durable record that names the order exists before the first of them, and says when the disks are whole. A start that
runs again after a kill before that removes what the run before it left; after that it goes on where the run before it
was, so that the machine is defined and started once. A clean-up needs no memory of what was made.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import structlog

from agent.failover.children import ChildDisks, RecoverableReplica
from agent.failover.disks import DiskFolders
from agent.failover.failures import no_healthy_guest, translate
from agent.failover.isolation import check_isolation
from agent.failover.outcome import (
    RecoveredDisk,
    RehearsalCleanedUp,
    RehearsalError,
    RehearsalRequest,
    RehearsalStarted,
    StepTime,
)
from agent.failover.records import RehearsalRecord, RehearsalRecords, RehearsalState
from agent.failover.removal import Removal
from agent.hypervisor.interface import (
    GuestHealth,
    Hypervisor,
    HypervisorError,
    MachineDefinition,
)
from agent.replica.errors import ReplicaError
from replikera.machine import MachineDescription, MachineDescriptionError, parse_machine_description
from replikera.ports.clock import Clock

FIRST_POLL_SECONDS = 0.05
GUEST_POLL_SECONDS = 1.0
"""How soon the guest is asked again whether it answers, at first and at most: one that is quick is not waited for."""

_GOES_ON = (RehearsalState.RECOVERED, RehearsalState.STARTED)


class Rehearsals:
    """The rehearsals of this host. Starts and clean-ups may be repeated after a crash at any moment."""

    def __init__(
        self,
        records: RehearsalRecords,
        disks: DiskFolders,
        hypervisor: Hypervisor,
        replica: Callable[[str], RecoverableReplica],
        clock: Clock,
    ) -> None:
        self._records = records
        self._disks = ChildDisks(disks, replica)
        self._hypervisor = hypervisor
        self._clock = clock
        self._removal = Removal(hypervisor, disks, clock)
        self._busy: set[str] = set()
        self._log = structlog.get_logger(__name__)

    async def start(
        self, request: RehearsalRequest, progress: Callable[[str], None]
    ) -> RehearsalStarted:
        """Recover, isolate and start; return when the guest answers.

        Raises `RehearsalError`; what was made is removed then, and the record tells why.
        """
        with self._alone(request.rehearsal_id):
            record = await self._intend(request)
            steps = _Steps(self._clock, progress)
            try:
                started = await self._run(request, record, steps)
            except (RehearsalError, HypervisorError, ReplicaError, OSError) as error:
                failure = await self._give_up(record, translate(error))
                raise failure from error
            await self._records.write(record.with_disks(started.disks, RehearsalState.STARTED))
            return started

    async def clean_up(self, rehearsal_id: str, protection_id: str) -> RehearsalCleanedUp:
        """Remove everything of the rehearsal, read back that nothing is left, and let the replica go on.

        Raises `RehearsalError`, `HypervisorError`, `ReplicaError`. A rehearsal that is gone, or never was, is no error.
        """
        with self._alone(rehearsal_id):
            record = await self._records.get(rehearsal_id)
            found = (await self._removal.remains(rehearsal_id)).names
            if record is not None:
                # A clean-up that was killed half-way still answers all that it removed.
                found = tuple(dict.fromkeys((*record.found, *found)))
                await self._records.write(
                    replace(record, state=RehearsalState.REMOVING, found=found)
                )
            await self._removal.remove_all(rehearsal_id)
            await self._disks.release(rehearsal_id, protection_id)
            await self._records.remove(rehearsal_id)
            return RehearsalCleanedUp(found)

    async def release_forgotten(self, replicas: Iterable[RecoverableReplica]) -> None:
        """Let replicas go on that are kept for test failovers of which nothing is left, no record either.

        A pin that could not be released with the clean-up is released like this. Raises what `clean_up` does.
        """
        for replica in replicas:
            for pin in replica.pins():
                is_used = await self._records.get(pin.holder) or await self._removal.remains(
                    pin.holder
                )
                if not is_used:
                    await replica.unpin(pin.holder)

    async def using(self, protection_id: str) -> tuple[str, ...]:
        """Return the ids of the rehearsals that stand on a protection's replica. Raises `RehearsalError`.

        One that failed has removed what it made, or is removed without the replica.
        """
        return tuple(
            record.rehearsal_id
            for record in await self._records.all()
            if record.protection_id == protection_id and record.state != RehearsalState.FAILED
        )

    async def held(self) -> tuple[RehearsalRecord, ...]:
        """Return all that is not cleaned up; what cannot be read is told in the log."""
        try:
            records, damaged = await self._records.survey()
        except OSError as error:
            self._log.warning("test failovers are not told to the vault", cause=str(error))
            return ()
        for problem in damaged:
            self._log.warning("test failover is not told to the vault", cause=problem.cause)
        return records

    @contextmanager
    def _alone(self, rehearsal_id: str) -> Iterator[None]:
        if rehearsal_id in self._busy:
            raise RehearsalError(
                "test-failover-busy",
                f"Test failover {rehearsal_id} is being started or cleaned up on this host.",
                "Wait for its job.",
            )
        self._busy.add(rehearsal_id)
        try:
            yield
        finally:
            self._busy.discard(rehearsal_id)

    async def _intend(self, request: RehearsalRequest) -> RehearsalRecord:
        known = await self._records.get(request.rehearsal_id)
        if known is not None and known.order_id != request.order_id:
            raise RehearsalError(
                "test-failover-exists",
                f"Test failover {request.rehearsal_id} was started by order {known.order_id}.",
                "Clean it up first.",
            )
        if known is not None and known.state in _GOES_ON:
            return known
        record = RehearsalRecord(
            rehearsal_id=request.rehearsal_id,
            order_id=request.order_id,
            protection_id=request.protection_id,
            generation=request.generation,
            sequence=request.sequence,
            machine_name=request.machine_name,
            state=RehearsalState.STARTING,
            started_at=self._clock.now().isoformat(timespec="microseconds"),
        )
        await self._records.write(record)
        return record

    async def _give_up(self, record: RehearsalRecord, failure: RehearsalError) -> RehearsalError:
        """Remove what was made; return the failure, told with a removal that failed too."""
        try:
            await self._removal.remove_all(record.rehearsal_id)
            await self._disks.release(record.rehearsal_id, record.protection_id)
        except (RehearsalError, HypervisorError, ReplicaError, OSError) as error:
            failure = RehearsalError(
                failure.code,
                f"{failure.cause} Removing what was made failed too: {translate(error).cause}",
                f"{failure.remedy} Clean the test failover up first.",
            )
        text = f"{failure.code}: {failure.cause}"
        await self._records.write(
            replace(record, state=RehearsalState.FAILED, failure=text, disks=())
        )
        return failure

    async def _run(
        self, request: RehearsalRequest, record: RehearsalRecord, steps: "_Steps"
    ) -> RehearsalStarted:
        replica = self._disks.replica_of(request)
        with steps.measure("recover disks"):
            machine = _parse_machine(request, replica.describe(request.sequence))
            disks = record.recovered_disks or await self._recover(request, record, replica)
        with steps.measure("define machine"):
            for network in request.created_networks:
                await self._hypervisor.ensure_isolated_network(network, request.rehearsal_id)
            definition = _define(request, machine, disks)
            machine_id = await self._hypervisor.define_machine(definition)
        with steps.measure("check isolation"):
            inventory = await self._hypervisor.inventory()
            networks = check_isolation(
                inventory, machine_id, request.rehearsal_id, definition.networks
            )
        with steps.measure("start machine"):
            await self._hypervisor.start(machine_id)
        with steps.measure("guest answers"):
            guest = await self._wait_for_guest(request, machine_id)
        return RehearsalStarted(machine_id, disks, steps.taken(), guest, networks)

    async def _recover(
        self, request: RehearsalRequest, record: RehearsalRecord, replica: RecoverableReplica
    ) -> tuple[RecoveredDisk, ...]:
        # A run that was killed may have left half of everything.
        await self._removal.remove_all(request.rehearsal_id)
        disks = await self._disks.make(request, replica)
        await self._records.write(record.with_disks(disks, RehearsalState.RECOVERED))
        return disks

    async def _wait_for_guest(self, request: RehearsalRequest, machine_id: str) -> GuestHealth:
        deadline = self._clock.monotonic() + request.guest_timeout.total_seconds()
        pause = FIRST_POLL_SECONDS
        while True:
            guest = await self._hypervisor.guest_health(machine_id)
            if guest.is_answering and guest.is_healthy:
                return guest
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise no_healthy_guest(request, guest)
            await self._clock.sleep(min(pause, left))
            pause = min(2 * pause, GUEST_POLL_SECONDS)


class _Steps:
    """Measures the steps of one start, and tells which one is running."""

    def __init__(self, clock: Clock, progress: Callable[[str], None]) -> None:
        self._clock = clock
        self._progress = progress
        self._taken: list[StepTime] = []

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        self._progress(name)
        start = self._clock.monotonic()
        yield
        self._taken.append(StepTime(name, self._clock.monotonic() - start))

    def taken(self) -> tuple[StepTime, ...]:
        return tuple(self._taken)


def _parse_machine(request: RehearsalRequest, description: bytes) -> MachineDescription:
    try:
        return parse_machine_description(description)
    except MachineDescriptionError as error:
        raise RehearsalError(
            "bad-machine-description",
            f"Point {request.sequence} does not describe a machine: {error}.",
            "Choose another point, and run the same version of the agent on both hosts.",
        ) from error


def _define(
    request: RehearsalRequest, machine: MachineDescription, disks: tuple[RecoveredDisk, ...]
) -> MachineDefinition:
    paths = {disk.disk_id: disk.path for disk in disks}
    missing = [disk.name for disk in machine.disks if disk.disk_id not in paths]
    if missing:
        raise RehearsalError(
            "disk-missing",
            f"Point {request.sequence} describes a machine with disks that it does not hold: "
            f"{', '.join(missing)}.",
            "Choose another point.",
        )
    return MachineDefinition(
        tag=request.rehearsal_id,
        name=request.machine_name,
        description=machine,
        disk_paths={disk.disk_id: paths[disk.disk_id] for disk in machine.disks},
        networks={nic.nic_id: request.networks.get(nic.nic_id, "") for nic in machine.nics},
    )
