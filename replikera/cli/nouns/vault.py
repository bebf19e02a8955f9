"""`replikera vault`: the vault this profile belongs to, its backups, and what follows a restore."""

from pathlib import Path
from typing import Annotated

import typer

from replikera.cli.arguments import ConfirmOption
from replikera.cli.backups import fetch_backup, manifest_document, read_backup, run_coordinator
from replikera.cli.confirmation import confirm
from replikera.cli.connection import ports_of, post, request
from replikera.cli.leaf import Leaf, Viewing, noun
from replikera.cli.output import output_of, properties
from replikera.cli.records import Record
from replikera.cli.vault_view import render_vault
from replikera.cli.watching import view
from replikera.cli.wording import plain, size

app = noun("The vault: see it, back it up, bring it back.")
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file", metavar="FILE", help="Holds the passphrase of the authority's keys."
    ),
]


@app.command("show", cls=Viewing)
def show(context: typer.Context) -> None:
    """Show the vault: addresses, mode, head of the history."""
    output = output_of(context)

    def present(vault: Record) -> None:
        output.answer(vault, lambda: render_vault(vault))
        is_reconciling = vault.get("mode") == "reconciling"
        output.next("replikera host list" if is_reconciling else "replikera status")

    view(context, lambda client: client.get("vault"), present)


@app.command("backup", cls=Leaf)
def backup(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A new file; nothing is overwritten.")
    ],
) -> None:
    """Write a backup of the running vault.

    It holds the database and the authority, whose keys are as encrypted as they are there.
    """
    files = ports_of(context).files
    manifest = request(context, lambda client: fetch_backup(client, files, file))
    document = manifest_document(file, manifest)
    written = files.status(file)
    output = output_of(context)
    output.answer(
        document,
        lambda: properties(
            [
                ("file", file),
                ("size", size(None if written is None else written.size)),
                ("vault", manifest.vault_name),
                ("history to line", manifest.head_number),
                ("digest", manifest.head_digest.hex()),
            ]
        ),
    )
    output.message("The passphrase of the authority is not in it: keep that elsewhere.")
    output.next(f"replikera vault verify {file} --passphrase-file FILE")


@app.command("verify", cls=Leaf)
def verify(
    context: typer.Context, file: FileArgument, passphrase_file: PassphraseOption = None
) -> None:
    """Try whether a backup can be restored, and change nothing. For a machine that has replikera-coordinator."""
    _run(context, file, "verify-backup", str(file), *_passphrase(passphrase_file))


@app.command("restore", cls=Leaf)
def restore(
    context: typer.Context,
    file: FileArgument,
    *,
    settings: Annotated[
        Path, typer.Option("--settings", metavar="FILE", help="The coordinator's settings file.")
    ],
    passphrase_file: PassphraseOption = None,
    confirmation: ConfirmOption = None,
) -> None:
    """Make the vault of a backup, on the coordinator's machine.

    Its state directory has to be empty. The name to confirm is the vault's. Its hosts keep replicating meanwhile.
    """
    manifest = read_backup(ports_of(context).files, file)
    confirm(
        manifest.vault_name,
        confirmation,
        f"Vault {plain(manifest.vault_name)} goes back to {manifest.created_at:%Y-%m-%d %H:%M:%S} UTC: what "
        "was changed in it since is lost",
    )
    options = ("--settings", str(settings), *_passphrase(passphrase_file))
    _run(context, file, "restore", str(file), *options)
    output_of(context).next("start the coordinator, then: replikera vault show --watch")


@app.command("reconcile", cls=Leaf)
def reconcile(
    context: typer.Context,
    *,
    accept_missing: Annotated[
        bool,
        typer.Option("--accept-missing", help="Do not wait for hosts that have not reported."),
    ] = False,
    confirmation: ConfirmOption = None,
) -> None:
    """End reconciling after a restore. It ends by itself when every host has reported.

    With --accept-missing the name to confirm is the vault's.
    """
    if accept_missing:
        vault = request(context, lambda client: client.get("vault"))
        confirm(str(vault.get("name")), confirmation, _risk(vault))
    vault = post(context, "vault", "reconciliation", body={"accept_missing": accept_missing})
    output = output_of(context)
    output.answer(vault, lambda: render_vault(vault))
    output.next("replikera event list --kind vault-reconciled")


def _risk(vault: Record) -> str:
    missing = vault.get("hosts_missing")
    names = ", ".join(plain(name) for name in missing) if isinstance(missing, list) else ""
    return (
        f"What these hosts know is given up: {names or 'none'}. A protection that changed sides after the "
        "backup may be steered wrongly until they report"
    )


def _passphrase(file: Path | None) -> tuple[str, ...]:
    return () if file is None else ("--passphrase-file", str(file))


def _run(context: typer.Context, file: Path, *arguments: str) -> None:
    ports = ports_of(context)
    output = output_of(context)
    run_coordinator(ports.processes, arguments, is_shown=not output.is_for_programs)
    if output.is_for_programs:
        manifest = read_backup(ports.files, file)
        output.answer(manifest_document(file, manifest), str)
