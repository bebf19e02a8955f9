"""TLS contexts for what is not gRPC: the REST server and its clients. TLS 1.3, certificates on both sides."""

import ssl
import tempfile

from replikera.identity import Credentials


def server_tls(credentials: Credentials) -> ssl.SSLContext:
    """Return a TLS 1.3 context for a server that demands a certificate of the vault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    return _with_credentials(context, credentials)


def client_tls(credentials: Credentials) -> ssl.SSLContext:
    """Return a TLS 1.3 context for a client; the caller names the peer by `dns_name`."""
    return _with_credentials(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), credentials)


def _with_credentials(context: ssl.SSLContext, credentials: Credentials) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=credentials.root_certificate.decode())
    # The standard library loads a key from a file only; the folder is this user's alone and gone at once.
    with tempfile.NamedTemporaryFile() as bundle:
        bundle.write(credentials.private_key + credentials.certificate_chain)
        bundle.flush()
        context.load_cert_chain(bundle.name)
    return context
