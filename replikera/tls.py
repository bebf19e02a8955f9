"""TLS contexts for what is not gRPC: the REST server and its clients. TLS 1.3, certificates on both sides."""

import ssl
import tempfile

from replikera.identity import Credentials, CredentialsHolder


def server_tls(holder: CredentialsHolder) -> ssl.SSLContext:
    """Return a TLS 1.3 context for a server that demands a certificate of the vault.

    Every new connection is shown the holder's newest certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    # Who resumes a connection is not verified again: everybody proves himself in full.
    context.num_tickets = 0
    _trust(context, holder.current)
    _present(context, holder.current)
    holder.subscribe(lambda credentials: _present(context, credentials))
    return context


def client_tls(credentials: Credentials) -> ssl.SSLContext:
    """Return a TLS 1.3 context for a client; the caller names the peer by `dns_name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _trust(context, credentials)
    _present(context, credentials)
    return context


def _trust(context: ssl.SSLContext, credentials: Credentials) -> None:
    context.load_verify_locations(cadata=credentials.root_certificate.decode())


def _present(context: ssl.SSLContext, credentials: Credentials) -> None:
    # The standard library loads a key from a file only; the folder is this user's alone and gone at once.
    with tempfile.NamedTemporaryFile() as bundle:
        bundle.write(credentials.private_key + credentials.certificate_chain)
        bundle.flush()
        context.load_cert_chain(bundle.name)
