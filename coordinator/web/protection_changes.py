"""Resources that change protections that are there."""

from http import HTTPStatus

from coordinator.domain.jobs import Job
from coordinator.orchestration import protection_changes as changes
from coordinator.orchestration.disabling import disable_protection
from coordinator.orchestration.progress import job_progress
from coordinator.orchestration.vault import Vault
from coordinator.web import protection_presentation as presentation
from coordinator.web.models import NoBody
from coordinator.web.protection_answers import JobAnswer
from coordinator.web.requests import DisableRequest, ProtectionChange
from coordinator.web.table import CONTRIBUTORS, OPERATORS, Call, Route, changing


class ProtectionChangeHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def rows(self) -> tuple[Route, ...]:
        """Return the rows of these resources."""
        return (
            changing(
                "/protections/{name}/update",
                self.update_protection,
                "Begin to let a protection follow another policy",
                ProtectionChange,
                JobAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.ACCEPTED,
            ),
            changing(
                "/protections/{name}/pause",
                self.pause_protection,
                "Begin to pause a protection",
                NoBody,
                JobAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.ACCEPTED,
            ),
            changing(
                "/protections/{name}/resume",
                self.resume_protection,
                "Begin to resume a protection from where it was paused",
                NoBody,
                JobAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.ACCEPTED,
            ),
            changing(
                "/protections/{name}/resync",
                self.resync_protection,
                "Begin to make a replica equal to its source again; older points stay",
                NoBody,
                JobAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.ACCEPTED,
            ),
            changing(
                "/protections/{name}/verify",
                self.verify_protection,
                "Begin to compare a whole replica with its source",
                NoBody,
                JobAnswer,
                roles=OPERATORS,
                status=HTTPStatus.ACCEPTED,
            ),
            changing(
                "/protections/{name}/disable",
                self.disable_protection,
                "Begin to end a protection and to remove its replica",
                DisableRequest,
                JobAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.ACCEPTED,
            ),
        )

    async def update_protection(self, call: Call, body: ProtectionChange) -> JobAnswer:
        """Give a protection another policy."""
        name = call.path["name"]
        return self._shown(
            await changes.change_policy(self._vault, call.command, name, body.policy)
        )

    async def pause_protection(self, call: Call, _body: NoBody) -> JobAnswer:
        """Begin to pause a protection."""
        return self._shown(
            await changes.pause_protection(self._vault, call.command, call.path["name"])
        )

    async def resume_protection(self, call: Call, _body: NoBody) -> JobAnswer:
        """Begin to resume a protection."""
        return self._shown(
            await changes.resume_protection(self._vault, call.command, call.path["name"])
        )

    async def resync_protection(self, call: Call, _body: NoBody) -> JobAnswer:
        """Begin to resynchronize a protection."""
        return self._shown(
            await changes.resync_protection(self._vault, call.command, call.path["name"])
        )

    async def verify_protection(self, call: Call, _body: NoBody) -> JobAnswer:
        """Begin to verify a replica."""
        return self._shown(
            await changes.verify_protection(self._vault, call.command, call.path["name"])
        )

    async def disable_protection(self, call: Call, body: DisableRequest) -> JobAnswer:
        """Begin to end a protection."""
        name = call.path["name"]
        return self._shown(
            await disable_protection(self._vault, call.command, name, body.replica, body.forget)
        )

    def _shown(self, job: Job) -> JobAnswer:
        return presentation.job(job, job_progress(self._vault, job))
