"""Resources of policies."""

from http import HTTPStatus

from coordinator.orchestration import catalogue
from coordinator.orchestration.vault import Vault
from coordinator.web import policy_presentation as presentation
from coordinator.web.models import Listing, ListQuery, NoBody, NoQuery, listing
from coordinator.web.policy_answers import (
    PolicyAnswer,
    PolicyDeletionAnswer,
    PolicyDetailAnswer,
    PolicyUpdateAnswer,
)
from coordinator.web.policy_requests import PolicyChange, PolicyRequest
from coordinator.web.table import CONTRIBUTORS, Call, Route, changing, reading


class PolicyHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def rows(self) -> tuple[Route, ...]:
        """Return the rows of these resources."""
        return (
            reading(
                "/policies",
                self.list_policies,
                "List policies",
                ListQuery,
                Listing[PolicyAnswer],
            ),
            changing(
                "/policies",
                self.create_policy,
                "Create a replication policy",
                PolicyRequest,
                PolicyAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.CREATED,
            ),
            reading(
                "/policies/{name}",
                self.get_policy,
                "A policy with the machines that follow it",
                NoQuery,
                PolicyDetailAnswer,
            ),
            changing(
                "/policies/{name}/update",
                self.update_policy,
                "Change what a policy says, and tell all hosts that it concerns",
                PolicyChange,
                PolicyUpdateAnswer,
                roles=CONTRIBUTORS,
            ),
            changing(
                "/policies/{name}/delete",
                self.delete_policy,
                "Remove a policy that no machine follows",
                NoBody,
                PolicyDeletionAnswer,
                roles=CONTRIBUTORS,
            ),
        )

    async def list_policies(self, _call: Call, query: ListQuery) -> Listing[PolicyAnswer]:
        """Return policies by name."""
        async with self._vault.store.read() as records:
            page = await records.policies.page(query.cursor, query.limit)
        return listing(page, map(presentation.policy, page.items))

    async def create_policy(self, call: Call, body: PolicyRequest) -> PolicyAnswer:
        """Make a policy."""
        settings = body.settings()
        made = await catalogue.create_policy(self._vault, call.command, body.name, settings)
        return presentation.policy(made)

    async def get_policy(self, call: Call, _query: NoQuery) -> PolicyDetailAnswer:
        """Return one policy."""
        async with self._vault.store.read() as records:
            found = await records.policies.get(call.path["name"])
            following = await records.protections_following(found.id)
        return presentation.policy_detail(found, (item.machine_name for item in following))

    async def update_policy(self, call: Call, body: PolicyChange) -> PolicyUpdateAnswer:
        """Change a policy."""
        name = call.path["name"]
        update = await catalogue.update_policy(self._vault, call.command, name, body.applied)
        return presentation.policy_update(update.policy, update.job_ids)

    async def delete_policy(self, call: Call, _body: NoBody) -> PolicyDeletionAnswer:
        """Remove a policy."""
        gone = await catalogue.delete_policy(self._vault, call.command, call.path["name"])
        return PolicyDeletionAnswer(id=gone.id, name=gone.name)
