"""The tools that people copy disks with today: nbdcopy over TLS into nbdkit, and an rsync daemon."""

import socket
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from benchmarks.measured import Cost, Program

_WAIT_S = 10.0


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Return when something listens on the loopback port."""
    end = time.monotonic() + _WAIT_S
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise TimeoutError(f"nothing listens on port {port}")


def make_certificates(folder: Path) -> None:
    """Write what nbdkit and nbdcopy need for mutual TLS: an authority, a server and a client pair."""
    folder.mkdir(exist_ok=True)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("benchmark root", ca_key, ca_key, "benchmark root", is_ca=True)
    (folder / "ca-cert.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _certificate(name, key, ca_key, "benchmark root", is_ca=False)
        (folder / f"{name}-cert.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}-key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    issuer: str,
    *,
    is_ca: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if not is_ca:
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def nbdcopy_tls(source: Path, target: Path, certificates: Path) -> Cost:
    """Copy a raw image over mutual TLS, four connections, into a file, flushed to disk."""
    port = free_port()
    target.unlink(missing_ok=True)
    with target.open("wb") as file:
        file.truncate(source.stat().st_size)
    server = Program(
        ("nbdkit", "-f", "-p", str(port), "-i", "127.0.0.1")
        + ("--tls=require", "--tls-verify-peer", f"--tls-certificates={certificates}")
        + ("file", str(target))
    )
    wait_for_port(port)
    uri = f"nbds://127.0.0.1:{port}/?tls-certificates={certificates}"
    client = Program(
        ["nbdcopy", "--flush", "--connections=4", "--destination-is-zero", str(source), uri]
    ).cost()
    return client + server.stop()


def rsync_daemon(source: Path, folder: Path, *, delta: bool) -> Cost:
    """Copy a raw image to an rsync daemon (no encryption), flushed to disk."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    settings = folder.parent / "rsyncd.conf"
    settings.write_text(
        f"use chroot = no\n[target]\npath = {folder}\nread only = no\nuid = 0\ngid = 0\n"
    )
    server = Program(
        ("rsync", "--daemon", "--no-detach", f"--port={port}", "--address=127.0.0.1")
        + (f"--config={settings}",)
    )
    wait_for_port(port)
    how = ["--inplace", "--no-whole-file"] if delta else ["--whole-file", "--sparse"]
    client = Program(
        [
            "rsync",
            "--fsync",
            "--ignore-times",
            *how,
            str(source),
            f"rsync://127.0.0.1:{port}/target/disk.raw",
        ]
    ).cost()
    # The daemon's children, which do the work, are counted when the daemon itself has waited for them.
    return client + server.stop()
