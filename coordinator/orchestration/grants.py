"""Grants at work: signed whenever they are sent, from what the protection has; a new version comes in good time."""

from coordinator.domain import grants
from coordinator.domain.commands import BY_VAULT
from coordinator.domain.decisions import Decision
from coordinator.domain.identifiers import VaultId
from coordinator.domain.protections import Protection
from coordinator.orchestration.vault import Vault
from replikera.trust.grant import Grant, sign_grant

MAX_RENEWED = 500
"""Protections that get a new grant in one transaction, some 0.2 s of the writer's time; the others follow soon."""


def signed_grant(vault: Vault, protection: Protection) -> bytes:
    """Return the protection's newest grant, a serialised `Signed`; empty where it has none."""
    grant = _grant(vault.record.id, protection)
    return sign_grant(vault.authority.signer, grant) if grant is not None else b""


async def renew_grants(vault: Vault) -> int:
    """Give new grants to protections whose present ones are half over; return how many. Their sources are told.

    A vault that reconciles does not know which versions its hosts have: it gives none.
    """
    if vault.reconciliation.is_reconciling:
        return 0
    before = grants.latest_renewal(vault.clock.now())
    async with vault.store.read() as records:
        due = [item.id for item in _due(vault, await records.grants_ending(before, MAX_RENEWED))]
    if not due:
        return 0
    async with vault.store.write() as records:
        still_due = _due(vault, await records.protections.these(due))
        renewed = tuple(item.granted(vault.clock.now()) for item in still_due)
        await records.save(Decision(renewed), BY_VAULT)
    vault.presence.wake(item.source_host_id for item in renewed)
    return len(renewed)


def _due(vault: Vault, found: tuple[Protection, ...]) -> list[Protection]:
    now = vault.clock.now()
    return [protection for protection in found if protection.needs_grant(now)]


def _grant(vault_id: VaultId, protection: Protection) -> Grant | None:
    issued_at, not_after = protection.grant_issued_at, protection.grant_not_after
    if issued_at is None or not_after is None:
        return None
    return Grant(
        vault_id=vault_id,
        protection_id=protection.id,
        epoch=protection.epoch_number,
        generation=protection.generation,
        source_host_id=protection.source_host_id,
        target_host_id=protection.target_host_id,
        version=protection.grant_version,
        not_before=issued_at - grants.BACKDATE,
        not_after=not_after,
    )
