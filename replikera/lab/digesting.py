"""A whole point digested where it is kept, beside the source's view of the same instant read by the witness."""

from collections.abc import Mapping

from replikera.lab.command_line import LONG_COMMAND_TIMEOUT_S
from replikera.lab.errors import LabError
from replikera.lab.evidence import WITNESS, DiskEvidence, Point
from replikera.lab.line import MACHINE_NAME, Line
from replikera.lab.machine import Machine
from replikera.lab.narrator import Narrator
from replikera.lab.source_views import SourceViews, capture_of
from replikera.lab.witness import digest

_TARGET = "target"


class Digesting:
    """Asks the target for digests and compares."""

    def __init__(
        self, machine: Machine, line: Line, views: SourceViews, narrator: Narrator
    ) -> None:
        self._machine = machine
        self._line = line
        self._views = views
        self._narrator = narrator

    async def compare(self, point: Mapping[str, object]) -> list[DiskEvidence]:
        """Return every disk of a listed point beside its source. Raises `LabError` and `WitnessError`."""
        job = await self._line.commands.answer(
            *("replikera", "point", "digest", MACHINE_NAME, str(point["sequence"]), "--wait"),
            timeout=LONG_COMMAND_TIMEOUT_S,
        )
        view = await self._views.of(capture_of(point))
        name = Point(str(point["generation"]), int(str(point["sequence"])))
        found = []
        for disk_id, at_target in digested_disks(job):
            with self._narrator.work(f"reading disk {disk_id} of the source's view"):
                at_source = await self._machine.worker.run(
                    digest, self._machine.files, view.disk(disk_id)
                )
            readers = (WITNESS, _TARGET)
            found.append(
                DiskEvidence(MACHINE_NAME, disk_id, name, at_source, at_target, readers, "")
            )
            self._tell(found[-1])
        return found

    def _tell(self, evidence: DiskEvidence) -> None:
        self._narrator.note(f"  source  {evidence.source_sha256}")
        self._narrator.note(f"  target  {evidence.recovered_sha256}")
        text = "equal" if evidence.is_equal else "DIFFERENT"
        self._narrator.verdict(f"  {text}", is_good=evidence.is_equal)


def digested_disks(job: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return ids and digests of the disks that a job has read. Raises `LabError`."""
    match job.get("result"):
        case {"disks": [_, *_] as disks}:
            return [_digested(disk) for disk in disks]
        case other:
            raise _unknown(other)


def _digested(disk: object) -> tuple[str, str]:
    match disk:
        case {"disk_id": str(disk_id), "sha256": str(sha256)}:
            return disk_id, sha256
        case other:
            raise _unknown(other)


def _unknown(value: object) -> LabError:
    return LabError(f"the vault answered {value!r}", "Install all programs anew")
