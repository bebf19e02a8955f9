"""`replikera operator`: who may ask this vault, and what for."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from replikera.cli.arguments import ConfirmOption, ReasonOption
from replikera.cli.client import VaultClient
from replikera.cli.confirmation import confirm
from replikera.cli.connection import ports_of, post, request
from replikera.cli.errors import CommandError
from replikera.cli.invocation import Ports
from replikera.cli.issued import issued_credentials
from replikera.cli.leaf import Founding, Leaf, Listing, noun
from replikera.cli.listing import present_list
from replikera.cli.new_profile import NewProfile
from replikera.cli.output import output_of, table
from replikera.cli.profile import load_profile
from replikera.cli.records import Record
from replikera.cli.renewal import renew_certificate
from replikera.cli.wording import instant

app = noun("Operators: who may ask this vault, and what for.")
_COLUMNS = ("operator", "role", "created", "revoked", "id")
_SECRETS = {"certificate_chain", "root_certificate"}
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The operator's name.")]


class Role(StrEnum):
    """What an operator may do; all may read."""

    OWNER = "owner"
    CONTRIBUTOR = "contributor"
    OPERATOR = "operator"
    READER = "reader"
    AUDITOR = "auditor"


@app.command("create", cls=Founding)
def create(
    context: typer.Context,
    name: NameArgument,
    *,
    role: Annotated[
        Role,
        typer.Option(
            "--role",
            help="owner: everything; contributor: register, enable; operator: test failovers, jobs; "
            "auditor: the audit log; reader: look.",
        ),
    ],
    profile: Annotated[
        Path, typer.Option("--profile", metavar="DIR", help="New folder for its profile.")
    ],
) -> None:
    """Create an operator. Its key is made here and goes nowhere; the folder is the operator's profile.

    Your own profile is named before the noun, or by REPLIKERA_PROFILE.
    """
    ports = ports_of(context)
    made = request(
        context, lambda client: _create(client, ports, name, role.value, profile.absolute())
    )
    output = output_of(context)
    output.answer({**made, "profile": str(profile)}, lambda: table(_COLUMNS, [_row(made)]))
    output.message(
        f"The profile of operator {name} is in {profile}; its certificate is good until "
        f"{instant(made.get('not_after'))}."
    )
    output.next(f"replikera --profile {profile} status")


@app.command("list", cls=Listing)
def list_operators(context: typer.Context) -> None:
    """List the operators, revoked ones too."""
    present_list(
        context,
        "operators",
        columns=_COLUMNS,
        row=_row,
        none="This vault has no operator.",
        next_when_none="replikera operator create NAME --role ROLE --profile DIR",
    )


@app.command("revoke", cls=Leaf)
def revoke(
    context: typer.Context,
    name: NameArgument,
    *,
    reason: ReasonOption = "",
    confirmation: ConfirmOption = None,
) -> None:
    """Let an operator in no more, at once. The name is not given again."""
    confirm(
        name,
        confirmation,
        f"Operator {name} is let in no more, and no other operator can have that name",
    )
    revoked = post(context, "operators", name, "revoke", body={"reason": reason})
    output_of(context).answer(revoked, lambda: table(_COLUMNS, [_row(revoked)]))


@app.command("renew", cls=Leaf)
def renew(context: typer.Context) -> None:
    """Renew your own certificate. Copies of the profile elsewhere do not work any more afterwards."""
    ports = ports_of(context)
    folder = request(context, lambda client: _renew(client, ports))
    # The first use of the new certificate makes the old one void.
    me = request(context, lambda client: client.get("operators", "self"))
    output = output_of(context)
    output.answer({**me, "profile": str(folder)}, lambda: table(_COLUMNS, [_row(me)]))
    profile = load_profile(ports.files, folder, ports.clock.now())
    output.message(
        f"The new certificate in {folder} is good until "
        f"{profile.credentials.caller.not_after:%Y-%m-%d %H:%M}Z."
    )


async def _create(
    client: VaultClient, ports: Ports, name: str, role: str, folder: Path
) -> dict[str, object]:
    new = NewProfile(ports.files, folder)
    prepared = new.prepare(name, role, ports.randomness)
    try:
        answer = await client.post(
            "operators", body=prepared.body(), key=prepared.request.idempotency_key
        )
    except CommandError as error:
        if error.document is not None:  # the vault's own refusal: nothing was made
            new.abandon()
        raise
    credentials = issued_credentials(client.profile, answer, prepared.private_key, name)
    new.finish(client.profile, credentials)
    return {key: value for key, value in answer.items() if key not in _SECRETS}


async def _renew(client: VaultClient, ports: Ports) -> Path:
    await renew_certificate(client, ports.files)
    return client.profile.folder


def _row(operator: Record) -> tuple[object, ...]:
    revoked = operator.get("revoked_at")
    return (
        operator.get("name"),
        operator.get("role"),
        instant(operator.get("created_at")),
        "-" if revoked is None else instant(revoked),
        operator.get("id"),
    )
