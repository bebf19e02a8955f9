"""What the vault does with a signing request, from the authority of the tests."""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from replikera.identity import Role, dns_name, uri_name
from tests.support.authority import VAULT_ID, Authority, pem


@dataclass
class Issuing:
    """Issues to whoever asks, and remembers the keys."""

    authority: Authority
    name: str | None = None
    keys: list[ec.EllipticCurvePublicKey] = field(default_factory=list)
    changes: dict[str, object] = field(default_factory=dict)

    def __call__(self, body: Any) -> dict[str, object]:
        der = base64.b64decode(body["certificate_signing_request"], validate=True)
        request = x509.load_der_x509_csr(der)
        assert request.is_signature_valid
        key = request.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        self.keys.append(key)
        name = self.name or body["name"]
        now = datetime.now(UTC)
        leaf = self.authority.leaf(
            key,
            [uri_name(Role.OPERATOR, name, VAULT_ID)],
            dns=dns_name(Role.OPERATOR, name, VAULT_ID),
            validity=(now - timedelta(days=1), now + timedelta(days=30)),
        )
        return {
            "id": "o1",
            "name": name,
            "role": body.get("role", "owner"),
            "created_at": "2026-11-22T20:14:55Z",
            "revoked_at": None,
            "certificate_chain": pem(leaf).decode(),
            "root_certificate": self.authority.root_pem.decode(),
            "not_after": "2026-12-22T20:14:55Z",
            **self.changes,
        }
