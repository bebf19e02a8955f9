"""Certificates that the vault issued, looked at before they are kept."""

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from replikera.cli.errors import AnswerError
from replikera.cli.profile import Profile, is_issued_by_root
from replikera.cli.records import Record, required_text
from replikera.identity import Credentials, IdentityError, Role, root_fingerprint


def issued_credentials(
    profile: Profile, answer: Record, private_key: bytes, name: str
) -> Credentials:
    """Return the credentials of operator `name` in an answer to a request for `private_key`.

    The root stays the one that this profile trusts. Raises `AnswerError` where they are not what was asked for.
    """
    root = profile.credentials.root_certificate
    chain, told = (
        required_text(answer, key, "a certificate").encode()
        for key in ("certificate_chain", "root_certificate")
    )
    try:
        credentials = Credentials(chain, private_key, root)
        caller = credentials.caller
        is_ours = _is_for(chain, private_key) and root_fingerprint(told) == root_fingerprint(root)
    except IdentityError as error:
        raise _unusable(str(error)) from error
    if (caller.role, caller.name, caller.vault_id) != (Role.OPERATOR, name, profile.vault_id):
        raise _unusable(f"it is that of {caller.role} {caller.name} of vault {caller.vault_id}")
    if not is_ours:
        raise _unusable("it is for another key, or of another authority")
    if not is_issued_by_root(credentials):
        raise _unusable("its signatures do not lead to the root of this profile")
    return credentials


def _is_for(chain: bytes, private_key: bytes) -> bool:
    key = serialization.load_pem_private_key(private_key, password=None)
    return x509.load_pem_x509_certificate(chain).public_key() == key.public_key()


def _unusable(problem: str) -> AnswerError:
    return AnswerError(
        "certificate-unusable",
        f"The vault issued a certificate that is not the one asked for: {problem}",
        "Keep the profile that works, and look into the coordinator's log",
    )
