"""The simulated agents' identities, handed from the vault that issued them to the processes that use them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """What one simulated agent proves itself with, PEM, and its vault."""

    host_id: str
    certificate_chain: str
    private_key: str


@dataclass(frozen=True)
class Crowd:
    """The registered hosts as their agents see the vault."""

    vault_id: str
    root_certificate: str
    identities: tuple[Identity, ...]

    def part(self, number: int, count: int, sessions: int) -> "Crowd":
        """Return the share of one of `count` client processes in the first `sessions` hosts."""
        mine = self.identities[:sessions][number::count]
        return Crowd(self.vault_id, self.root_certificate, mine)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "Crowd":
        found = json.loads(path.read_text())
        identities = tuple(Identity(**each) for each in found["identities"])
        return cls(found["vault_id"], found["root_certificate"], identities)
