"""What one round of misfortunes is made of: each act asks for something, is struck, and ends well or fails."""

from collections.abc import Awaitable, Callable, Container
from typing import Any

from replikera.lab.errors import LabError
from tests.e2e.online import check_kept_disks
from tests.e2e.stage import Stage
from tests.e2e.struck_rehearsal import rehearse
from tests.e2e.tracking_loss import lose_tracking

_COMPRESSIONS = ("off", "adaptive", "lz4", "zstd")
_LOSSES = 20
"""A mark that is lost while the next one is being made is not missed: it is lost again."""


async def initial_pass(stage: Stage) -> None:
    """Enable the protection, struck while its first point is on its way."""
    job_id = await stage.operator.enable()
    for _ in range(stage.chance.randint(1, 3)):
        await stage.misfortunes.strike("initial pass", within=1.5)
    await stage.operator.end_of(job_id)


async def deltas(stage: Stage) -> None:
    """Strike between and during cycles."""
    for _ in range(stage.chance.randint(1, 3)):
        await stage.misfortunes.strike("deltas", within=3.0)
    await stage.goes_on()


async def settings(stage: Stage) -> None:
    """Change the policy, and pause and resume, struck meanwhile."""
    job_ids = await stage.operator.change_policy(
        {
            "copy_frequency_seconds": stage.chance.choice((1, 2, 3)),
            "compression": stage.chance.choice(_COMPRESSIONS),
        }
    )
    await stage.misfortunes.strike("settings", within=1.0)
    for job_id in job_ids:
        await stage.operator.end_of(job_id)
    job_id = await stage.operator.order("pause")
    await stage.misfortunes.strike("pause", within=0.5)
    await stage.operator.end_of(job_id)
    await stage.operator.until("the pause", lambda shown: shown["state"] == "paused")
    job_id = await stage.operator.order("resume")
    await stage.misfortunes.strike("resume", within=0.5)
    await stage.operator.end_of(job_id)
    await stage.goes_on()


async def resync(stage: Stage) -> None:
    """Lose the tracking, and resynchronise; older points stay."""
    before = {point["sequence"] for point in await stage.operator.points()}
    await _lose_tracking(stage)
    job_id = await stage.operator.order("resync")
    for _ in range(stage.chance.randint(1, 2)):
        await stage.misfortunes.strike("resync", within=1.0)
    await stage.operator.end_of(job_id)
    await stage.goes_on()
    lost = before - {point["sequence"] for point in await stage.operator.points()}
    if lost:
        stage.problems.append(f"a resync lost the points {sorted(lost)}")


async def verify(stage: Stage) -> None:
    """Compare everything with the target, struck meanwhile; nothing differs."""
    job_id = await stage.operator.order("verify")
    for _ in range(stage.chance.randint(1, 2)):
        await stage.misfortunes.strike("verify", within=1.0)
    await stage.operator.end_of(job_id)
    verification = (await stage.operator.shown())["verification"]
    if not verification["is_finished"] or verification["differing_bytes"]:
        stage.problems.append(f"the verification ended as {verification}")
    await stage.goes_on()


async def enable_anew(stage: Stage) -> None:
    """Disable, with the disks kept or not, and enable again on the same hosts; what goes is compared before."""
    await stage.comparison.compare_all()
    keeps = stage.chance.random() < 0.5
    protection_id = (await stage.operator.shown())["id"]
    job_id = await stage.operator.order("disable", {"replica": "keep" if keeps else "delete"})
    await stage.misfortunes.strike("disable", within=0.5)
    await stage.operator.end_of(job_id)
    secondary = stage.line.folder.secondary.state
    left = secondary / "replicas" / protection_id
    if left.exists():
        stage.problems.append(f"{left} is left of a disabled protection")
    if keeps:
        stage.problems += await stage.machine.worker.run(
            check_kept_disks,
            stage.machine,
            secondary / "exports" / protection_id,
            stage.line.folder.primary.hypervisor,
        )
    await initial_pass(stage)
    await stage.goes_on()


async def rehearsal(stage: Stage) -> None:
    """Test a failover and clean it up, struck all along."""
    await rehearse(stage)


async def naming(stage: Stage) -> None:
    """Take a point with a name, struck meanwhile; it is listed once its job has succeeded."""
    name = f"before {stage.chance.randrange(1 << 30)}"
    job_id = await stage.operator.order("points", {"name": name})
    await stage.misfortunes.strike("naming", within=1.0)
    result = (await stage.operator.end_of(job_id))["result"]
    named = [point for point in await stage.operator.points() if point["name"] == name]
    if [point["sequence"] for point in named] != [result["point"]["sequence"]]:
        stage.problems.append(f"of {name!r} there are {named}, the job says {result}")
    await stage.goes_on()


async def compare(stage: Stage) -> None:
    """Have the target digest points, struck meanwhile."""
    await stage.misfortunes.strike("digest", within=0.5)
    await stage.comparison.compare(stage.chance, 3)


Act = Callable[[Stage], Awaitable[None]]
_ORDERS: dict[Act, tuple[str, ...]] = {
    settings: ("/policies/{name}/update", "/protections/{name}/pause"),
    resync: ("/protections/{name}/resync",),
    verify: ("/protections/{name}/verify",),
    enable_anew: ("/protections/{name}/disable",),
}
ACTS: tuple[Act, ...] = (
    deltas, deltas, settings, resync, verify, enable_anew, rehearsal, naming, compare,
)  # fmt: skip


def missing_orders(act: Act, paths: Container[str]) -> list[str]:
    """Return the orders of an act that the vault's interface does not have."""
    return [path for path in _ORDERS.get(act, ()) if path not in paths]


async def _lose_tracking(stage: Stage) -> None:
    def is_noticed(shown: dict[str, Any]) -> bool:
        return bool(shown["state"] == "resync-required")

    hypervisor = stage.line.folder.primary.hypervisor
    for _ in range(_LOSSES):
        await stage.machine.worker.run(lose_tracking, stage.machine, hypervisor)
        await stage.machine.clock.sleep(1.0)
        if is_noticed(await stage.operator.shown()):
            return
    raise LabError("a lost mark was not noticed", "Look into the primary agent's log")
