"""An operator of one protected machine, by REST: each request is repeated until the vault answers."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from replikera.lab.machine import Machine
from replikera.lab.waiting import wait_for
from tests.e2e.rest import Rest

T = TypeVar("T")

QUIET_S = 90.0
"""How long the line may take to go on after a misfortune; a broken session is dialled again within seconds."""

_POLL_S = 0.25
_RUNNING = "running"
_SUCCEEDED = "succeeded"


class VaultOperator:
    """Gives orders about one machine, and waits for what comes of them."""

    def __init__(self, machine: Machine, rest: Rest, name: str, target: str, policy: str) -> None:
        self._machine = machine
        self._rest = rest
        self._name = name
        self._target = target
        self._policy = policy
        self._path = f"/protections/{name}"

    async def enable(self) -> str:
        """Protect the machine; return the job's id."""
        body = {"machine": self._name, "target_host": self._target, "policy": self._policy}
        return str((await self._rest.post("/protections", body))["id"])

    async def order(self, verb: str, body: Mapping[str, object] | None = None) -> str:
        """Ask for something about the protection; return the job's id."""
        return str((await self._rest.post(f"{self._path}/{verb}", body or {}))["id"])

    async def change_policy(self, body: Mapping[str, object]) -> list[str]:
        """Change the policy's settings; return the ids of the jobs that tell them to the hosts."""
        answer = await self._rest.post(f"/policies/{self._policy}/update", body)
        return [str(job_id) for job_id in answer["jobs"]]

    async def end_of(self, job_id: str) -> dict[str, Any]:
        """Return a job that has succeeded. Raises `AssertionError` for one that has not, `LabError` for none."""

        async def look() -> dict[str, Any] | None:
            job = await self._rest.get(f"/jobs/{job_id}")
            return job if job["state"] != _RUNNING else None

        job = await self._wait(look, f"the end of job {job_id}")
        if job["state"] != _SUCCEEDED:
            raise AssertionError(f"{job['kind']} {job['state']}: {job['cause']} {job['remedy']}")
        return job

    async def shown(self) -> dict[str, Any]:
        """Return the protection."""
        return await self._rest.get(self._path)

    async def points(self) -> list[dict[str, Any]]:
        """Return the recovery points, newest first."""
        return await self._rest.everything(f"{self._path}/points")

    async def until(self, what: str, is_there: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the protection once it is as awaited. Raises `LabError`."""

        async def look() -> dict[str, Any] | None:
            shown = await self.shown()
            return shown if is_there(shown) else None

        return await self._wait(look, what)

    async def until_points(self, more: int) -> None:
        """Return once there are new points: whatever happened, replication has found its way back."""
        known = _newest(await self.points())

        async def look() -> bool | None:
            return True if _newest(await self.points()) >= known + more else None

        await self._wait(look, f"{more} more points after {known}")

    async def _wait(self, look: Callable[[], Awaitable[T | None]], what: str) -> T:
        return await wait_for(
            self._machine.clock, look, what=what, timeout=QUIET_S, interval=_POLL_S
        )


def _newest(points: list[dict[str, Any]]) -> int:
    return max((int(point["sequence"]) for point in points), default=0)
