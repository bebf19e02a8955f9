"""What people copy disks with today: nbdcopy over TLS into nbdkit, a bitmap-driven NBD writer, an rsync daemon."""

import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from benchmarks.measured import Cost, Program
from benchmarks.namespace import wire_bytes

_WAIT_S = 10.0
SYSTEM_PYTHON = "/usr/bin/python3"
"""For it Debian makes python3-libnbd."""


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


def nbdcopy_tls(source: Path, target: Path, certificates: Path, *, flushes: bool = True) -> Cost:
    """Copy a raw image over mutual TLS, four connections, into a new file, flushed to disk or not."""
    target.unlink(missing_ok=True)
    with target.open("wb") as file:
        file.truncate(source.stat().st_size)
    how = ["--flush"] if flushes else []
    return _to_nbd_server(
        target,
        certificates,
        ["nbdcopy", *how, "--connections=4", "--destination-is-zero", str(source)],
    )


def nbd_extents_tls(
    source: Path, extents: Sequence[tuple[int, int]], target: Path, certificates: Path
) -> Cost:
    """Write (offset, length) ranges of a raw image over mutual TLS into an existing file, flushed to disk."""
    listed = target.with_suffix(".extents")
    listed.write_text("".join(f"{offset} {length}\n" for offset, length in extents))
    try:
        writer = str(Path(__file__).with_name("nbd_writer.py"))
        command = [SYSTEM_PYTHON, writer, str(source), str(listed)]
        return _to_nbd_server(target, certificates, command)
    finally:
        listed.unlink()


def _to_nbd_server(target: Path, certificates: Path, client: Sequence[str]) -> Cost:
    port = free_port()
    server = Program(
        ("nbdkit", "-f", "-p", str(port), "-i", "127.0.0.1")
        + ("--tls=require", "--tls-verify-peer", f"--tls-certificates={certificates}")
        + ("file", str(target))
    )
    wait_for_port(port)
    uri = f"nbds://127.0.0.1:{port}/?tls-certificates={certificates}"
    return _both(server, [*client, uri])


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
    command = ["rsync", "--fsync", "--ignore-times", *how, str(source)]
    return _both(server, [*command, f"rsync://127.0.0.1:{port}/target/disk.raw"])


def _both(server: Program, client: Sequence[str]) -> Cost:
    # A server's children, which may do the work, are counted when the server itself has waited for them.
    before = wire_bytes()
    try:
        source = Program(client).usage()
        carried = wire_bytes() - before
    finally:
        target = server.stop()
    return Cost(
        source.wall_s, source.cpu_s, target.cpu_s, source.peak_bytes, target.peak_bytes, carried
    )
