"""The vault as a table."""

from rich.console import RenderableType

from replikera.cli.output import properties
from replikera.cli.records import Record, field
from replikera.cli.wording import instant, plain


def render_vault(vault: Record) -> RenderableType:
    """Return what is known of the vault."""
    missing = vault.get("hosts_missing")
    pairs: list[tuple[str, object]] = [
        ("name", vault.get("name")),
        ("id", vault.get("id")),
        ("created", instant(vault.get("created_at"))),
        ("session address", vault.get("session_address")),
        ("enrolment address", vault.get("enrolment_address")),
        ("root SHA-256", vault.get("fingerprint")),
        ("mode", vault.get("mode")),
        ("since", instant(vault.get("mode_since"))),
    ]
    if isinstance(missing, list) and missing:
        pairs.append(("waits for", ", ".join(plain(name) for name in missing)))
    pairs += [
        ("history to line", field(vault, "head", "number")),
        ("digest", field(vault, "head", "digest")),
    ]
    return properties(pairs)
