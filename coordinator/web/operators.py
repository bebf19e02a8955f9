"""Resources of operators."""

from http import HTTPStatus

from coordinator.orchestration import operators
from coordinator.orchestration.vault import Vault
from coordinator.web import presentation
from coordinator.web.answers import CredentialsAnswer, OperatorAnswer, SelfAnswer
from coordinator.web.models import Listing, ListQuery, NoQuery, listing
from coordinator.web.requests import OperatorRequest, ReasonRequest, RenewalRequest
from coordinator.web.table import EVERYBODY, OWNERS, Call, Route, changing, reading


class OperatorHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def rows(self) -> tuple[Route, ...]:
        """Return the rows of these resources."""
        return (
            reading(
                "/operators",
                self.list_operators,
                "List operators, revoked ones too",
                ListQuery,
                Listing[OperatorAnswer],
            ),
            changing(
                "/operators",
                self.create_operator,
                "Create an operator with a certificate",
                OperatorRequest,
                CredentialsAnswer,
                roles=OWNERS,
                status=HTTPStatus.CREATED,
            ),
            reading(
                "/operators/self",
                self.get_operator_self,
                "The operator who asks",
                NoQuery,
                SelfAnswer,
            ),
            changing(
                "/operators/self/renew",
                self.renew_operator_self,
                "Renew the certificate of the operator who asks",
                RenewalRequest,
                CredentialsAnswer,
                roles=EVERYBODY,
                status=HTTPStatus.CREATED,
            ),
            changing(
                "/operators/{name}/revoke",
                self.revoke_operator,
                "Let an operator in no more, at once",
                ReasonRequest,
                OperatorAnswer,
                roles=OWNERS,
                is_open_while_reconciling=True,
            ),
        )

    async def list_operators(self, _call: Call, query: ListQuery) -> Listing[OperatorAnswer]:
        """Return operators by name, revoked ones too."""
        async with self._vault.store.read() as records:
            page = await records.operators.page(query.cursor, query.limit)
        return listing(page, map(presentation.operator, page.items))

    async def create_operator(self, call: Call, body: OperatorRequest) -> CredentialsAnswer:
        """Make an operator with a certificate."""
        made = await operators.create_operator(
            self._vault, call.command, body.name, body.role, body.certificate_signing_request
        )
        return self._credentials(made)

    async def get_operator_self(self, call: Call, _query: NoQuery) -> SelfAnswer:
        """Return the operator who asks."""
        async with self._vault.store.read() as records:
            own = await operators.own_certificate(records, call.caller)
        return presentation.operator_itself(call.operator, own)

    async def renew_operator_self(self, call: Call, body: RenewalRequest) -> CredentialsAnswer:
        """Issue another certificate to the operator who asks."""
        renewed = await operators.renew_operator(
            self._vault, call.command, call.caller, body.certificate_signing_request
        )
        return self._credentials(renewed)

    async def revoke_operator(self, call: Call, body: ReasonRequest) -> OperatorAnswer:
        """Let an operator in no more."""
        revoked = await operators.revoke_operator(
            self._vault, call.command, call.path["name"], body.reason
        )
        return presentation.operator(revoked)

    def _credentials(self, issued: operators.Credentials) -> CredentialsAnswer:
        return presentation.credentials(issued, self._vault.authority.root_certificate)
