"""What members of a protection know of it, taken over by a vault that has forgotten."""

from collections.abc import Sequence
from dataclasses import replace

from coordinator.domain.hello import HeldProtection
from coordinator.domain.identifiers import Generation, HostId
from coordinator.domain.protections import Protection


def is_member(protection: Protection, host_id: HostId) -> bool:
    """Tell whether a host takes part in the protection: others are not believed."""
    return host_id in (protection.source_host_id, protection.target_host_id)


def adopted(
    protection: Protection, claims: Sequence[tuple[HostId, HeldProtection]]
) -> tuple[Protection, str | None]:
    """Return the protection as its members know it, at least one, and why they may not be equal.

    Epoch and grant's version never fall: what a member holds for newer than the vault is taken over.
    """
    highest = max(held.epoch_number for _, held in claims)
    adopted = protection
    doubt = None
    if highest >= protection.epoch_number:
        leaders = [(host_id, held) for host_id, held in claims if held.epoch_number == highest]
        adopted = replace(
            protection, epoch_number=highest, generation=_generation(protection, leaders)
        )
        doubt = _doubt(protection, leaders)
    version = max(held.grant_version for _, held in claims)
    if version > protection.grant_version:
        # When that grant ends is not known: a new one is due at once.
        adopted = replace(
            adopted, grant_version=version, grant_issued_at=None, grant_not_after=None
        )
    return adopted, doubt


def _generation(
    protection: Protection, leaders: Sequence[tuple[HostId, HeldProtection]]
) -> Generation:
    # The points are the target's: where both speak, its word counts.
    by_host = dict(leaders)
    speaker = by_host.get(protection.target_host_id) or by_host[protection.source_host_id]
    return speaker.generation


def _doubt(protection: Protection, leaders: Sequence[tuple[HostId, HeldProtection]]) -> str | None:
    if len({held.generation for _, held in leaders}) > 1:
        return "After the vault was restored, source and target told different generations."
    if any(held.is_source != (host_id == protection.source_host_id) for host_id, held in leaders):
        return "After the vault was restored, a host told that source and target are the other way round."
    return None
