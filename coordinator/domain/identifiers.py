"""Ids and names: what they are made of."""

import re
from typing import NewType

from coordinator.domain.errors import InvalidValueError

VaultId = NewType("VaultId", str)
HostId = NewType("HostId", str)
MachineId = NewType("MachineId", str)
KeyId = NewType("KeyId", str)
PolicyId = NewType("PolicyId", str)
MappingId = NewType("MappingId", str)
StorageMappingId = NewType("StorageMappingId", str)
ProtectionId = NewType("ProtectionId", str)
Generation = NewType("Generation", str)
RehearsalId = NewType("RehearsalId", str)
JobId = NewType("JobId", str)
OrderId = NewType("OrderId", str)
OperatorId = NewType("OperatorId", str)
SiteId = NewType("SiteId", str)
CloudId = NewType("CloudId", str)

MAX_NAME_LENGTH = 100
"""Hyper-V's own limit for the name of a machine; nothing of ours needs a longer one."""

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def check_name(what: str, text: str, field: str) -> str:
    """Return `text` if it can name an object in a path, a table and a message."""
    is_usable = (
        0 < len(text) <= MAX_NAME_LENGTH
        and text == text.strip()
        and text.isprintable()
        and "/" not in text
    )
    if not is_usable:
        raise InvalidValueError(
            "invalid-name",
            f"{text[:MAX_NAME_LENGTH]!r} cannot be the name of a {what}.",
            f"Use 1 to {MAX_NAME_LENGTH} printable characters without / and without blanks at the ends.",
            field=field,
        )
    return text


def check_label(what: str, text: str, field: str) -> str:
    """Return `text` if it can be one label of a DNS name, as names in certificates must."""
    if _LABEL.fullmatch(text) is None:
        raise InvalidValueError(
            "invalid-name",
            f"{text[:MAX_NAME_LENGTH]!r} cannot be the name of an {what}.",
            "Use 1 to 63 letters, digits and hyphens, with no hyphen at the ends.",
            field=field,
        )
    return text
