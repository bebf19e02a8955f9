"""Owners that are made on the coordinator's own machine: the first one, and one in place of all that were lost."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from coordinator.authority.authority import Authority
from coordinator.authority.requests import key_hash, requested_key
from coordinator.domain.certificates import Certificate, CertificateState
from coordinator.domain.commands import BY_VAULT
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import RefusedError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.identifiers import OperatorId, check_label
from coordinator.domain.operators import Operator, OperatorRole, create
from coordinator.orchestration.machinery import Machinery
from coordinator.store.database import Store
from coordinator.store.records import Records, VaultRecord
from replikera.durable import write_durably
from replikera.identity import (
    Credentials,
    Role,
    generate_private_key,
    save_credentials,
    signing_request,
)
from replikera.ports.files import Files

PROFILE_FILE = "profile.json"
_MAX_PROFILE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Profile:
    """An operator's folder: credentials, and where the vault is."""

    folder: Path
    api_address: str

    def check_free(self, files: Files, vault_id: str | None = None) -> None:
        """Refuse a folder that has a profile; that of an unfinished vault `vault_id` may be replaced."""
        path = self.folder / PROFILE_FILE
        if files.status(path) is None or (vault_id and _vault_of(files, path) == vault_id):
            return
        raise RefusedError(
            "profile-exists",
            f"There is an operator profile in {self.folder} already.",
            "Name another folder with --profile.",
        )

    def write(self, files: Files, record: VaultRecord, credentials: Credentials) -> None:
        """Make the profile, durably."""
        save_credentials(files, self.folder, credentials)
        content = {
            "vault_id": record.id,
            "vault_name": record.name,
            "api_address": self.api_address,
        }
        text = json.dumps(content, indent=2) + "\n"
        write_durably(files, self.folder / PROFILE_FILE, text.encode())


def first_owner(
    machinery: Machinery, authority: Authority, name: str
) -> tuple[Credentials, Decision]:
    """Decide who owns a new vault."""
    now = machinery.clock.now()
    operator, created = create(
        OperatorId(machinery.randomness.uuid()), name, OperatorRole.OWNER, now
    )
    credentials, certificate = certify(authority, operator, now)
    return credentials, created + Decision(aggregates=(certificate,))


async def recover_owner(
    machinery: Machinery, store: Store, authority: Authority, name: str, profile: Profile
) -> Operator:
    """Make an owner, or give one new credentials in place of all it had, and write its profile.

    For whoever holds the machine and the passphrase, while the coordinator does not run. Raises `RefusedError`.
    """
    check_label("operator", name, "name")
    profile.check_free(machinery.files)
    async with store.write() as records:
        record = await records.vault()
        if record is None:
            raise AssertionError("an opened vault without its record")
        found = await _owner(records, name)
        operator, decision = found or create(
            OperatorId(machinery.randomness.uuid()), name, OperatorRole.OWNER, machinery.clock.now()
        )
        credentials, certificate = certify(authority, operator, machinery.clock.now())
        decision += await _in_place_of_all(records, operator, certificate)
        await records.save(decision, BY_VAULT)
        # Inside the transaction: a profile that could not be written leaves the vault as it was.
        await machinery.worker.run(profile.write, machinery.files, record, credentials)
    return operator


def certify(
    authority: Authority, operator: Operator, now: datetime
) -> tuple[Credentials, Certificate]:
    """Return new credentials of an operator, and their certificate for the register."""
    private_key = generate_private_key()
    public_key = requested_key(signing_request(private_key))
    issued = authority.issue(Role.OPERATOR, operator.name, public_key, now)
    certificate = Certificate(
        issued.serial,
        Role.OPERATOR,
        operator.name,
        CertificateState.ISSUED,
        now,
        issued.not_after,
        key_hash(public_key),
        issued.chain,
    )
    return Credentials(issued.chain, private_key, authority.root_certificate), certificate


async def _owner(records: Records, name: str) -> tuple[Operator, Decision] | None:
    if not await records.operators.is_taken(name):
        return None
    operator = await records.operators.get(name)
    if not operator.is_acting_owner:
        what = "was revoked" if operator.revoked_at is not None else f"is {operator.role}"
        raise RefusedError(
            "operator-not-an-owner",
            f"Operator {name} {what}: its certificates are not replaced by an owner's.",
            "Choose another name.",
        )
    return operator, NOTHING


async def _in_place_of_all(records: Records, operator: Operator, new: Certificate) -> Decision:
    """Decide that the new certificate is the only one of this operator that is believed."""
    now = new.issued_at
    lost = [
        replace(certificate, state=CertificateState.DENIED)
        for certificate in await records.certificates_of(Role.OPERATOR, operator.name)
        if certificate.not_after > now and certificate.state is not CertificateState.DENIED
    ]
    detail = f"{operator.name}, on the coordinator's machine: certificate {new.id}"
    decision = Decision((new,), (), (Event(now, EventKind.OPERATOR_RENEWED, operator.id, detail),))
    if not lost:
        return decision
    control = (await records.control()).deny_list_changed()
    what = f"certificates {', '.join(item.id for item in lost)} of {operator.name}"
    event = Event(now, EventKind.DENY_LIST_CHANGED, control.id, what)
    return decision + Decision((*lost, control), (), (event,))


def _vault_of(files: Files, path: Path) -> object:
    try:
        found = json.loads(files.read_bytes(path, limit=_MAX_PROFILE_BYTES))
    except ValueError:
        return None
    return found.get("vault_id") if isinstance(found, dict) else None
