"""Renewing the operator's own certificate: the new files are durable before the new certificate is used."""

import base64

from replikera.cli.client import VaultClient
from replikera.cli.issued import issued_credentials
from replikera.cli.profile import Profile
from replikera.durable import write_durably
from replikera.identity import (
    NEXT_KEY_FILE,
    Credentials,
    generate_private_key,
    save_credentials,
    signing_request,
)
from replikera.ports.files import Files

_LIMIT = 64 * 1024


async def renew_certificate(client: VaultClient, files: Files) -> Credentials:
    """Replace the credentials of the client's profile and return the new ones. Raises `CommandError`.

    The old certificate is good until the new one is used. The new key is durable before the vault is asked: a renewal
    that was interrupted anywhere goes on with the same key when it is run again, and is answered with the same
    certificate.
    """
    profile = client.profile
    private_key = _next_key(files, profile)
    request = base64.b64encode(signing_request(private_key)).decode()
    answer = await client.post(
        "operators", "self", "renew", body={"certificate_signing_request": request}
    )
    name = profile.credentials.caller.name
    credentials = issued_credentials(profile, answer, private_key, name)
    save_credentials(files, profile.folder, credentials)
    return credentials


def _next_key(files: Files, profile: Profile) -> bytes:
    path = profile.folder / NEXT_KEY_FILE
    if files.status(path) is not None:
        begun = files.read_bytes(path, limit=_LIMIT)
        # What an interrupted saving left is the key that is in use.
        if begun != profile.credentials.private_key and _is_key(begun):
            return begun
    private_key = generate_private_key()
    write_durably(files, path, private_key)
    return private_key


def _is_key(pem: bytes) -> bool:
    try:
        signing_request(pem)
    except (ValueError, TypeError):
        return False
    return True
