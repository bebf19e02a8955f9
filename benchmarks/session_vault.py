"""A vault with many registered hosts, made through the project's own code before its coordinator starts."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.session_crowd import Crowd, Identity
from coordinator.authority.requests import key_hash
from coordinator.config import CoordinatorSettings, ListenerSettings, VaultSettings
from coordinator.daemon import state_directory
from coordinator.domain.certificates import Certificate, CertificateState
from coordinator.domain.commands import BY_VAULT
from coordinator.domain.decisions import Decision
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import HostId
from coordinator.orchestration.founding import Founding, found_vault, open_vault
from coordinator.orchestration.machinery import Machinery
from coordinator.orchestration.vault import Addresses, Vault
from replikera.identity import Role, generate_private_key
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.loopback import free_ports
from replikera.system.randomness import SystemRandomness
from replikera.system.workers import ThreadWorker

SITE = "a"


@dataclass(frozen=True)
class VaultFolder:
    """The settings of the vault to be measured."""

    folder: Path
    session_port: int
    settings: CoordinatorSettings

    @property
    def settings_file(self) -> Path:
        return self.folder / "coordinator.toml"


def lay_out(folder: Path) -> VaultFolder:
    """Write the coordinator's settings."""
    enrolment, session, api = free_ports(3, SystemRandomness())
    listeners = {"enrolment": enrolment, "session": session, "api": api}
    texts = [
        f'log_level = "warning"\n[vault]\nstate_directory = "{folder / "state"}"\n'
        f'passphrase_file = "{folder / "passphrase"}"\n',
        *(
            f'[{name}]\nlisten = "127.0.0.1:{port}"\naddress = "127.0.0.1:{port}"\n'
            for name, port in listeners.items()
        ),
    ]
    made = VaultFolder(folder, session, _settings(folder, listeners))
    made.settings_file.write_text("\n".join(texts))
    return made


def _settings(folder: Path, listeners: dict[str, int]) -> CoordinatorSettings:
    enrolment, session, api = (
        ListenerSettings(f"127.0.0.1:{port}", f"127.0.0.1:{port}") for port in listeners.values()
    )
    return CoordinatorSettings(
        VaultSettings(folder / "state", folder / "passphrase"), enrolment, session, api
    )


async def make_vault(made: VaultFolder, hosts: int) -> Crowd:
    """Found the vault and register the hosts, all in one transaction."""
    worker = ThreadWorker("vault", threads=1)
    machinery = Machinery(SystemFiles(), SystemClock(), SystemRandomness(), worker)
    state = state_directory(made.settings)
    founding = Founding("bench", "ann", made.folder / "profile", made.settings.api.address)
    try:
        await found_vault(machinery, state, founding)
        addresses = Addresses(made.settings.enrolment.address, made.settings.session.address)
        vault = await open_vault(machinery, state, addresses)
        try:
            return await _register(vault, hosts)
        finally:
            await vault.store.close()
    finally:
        worker.close()


async def _register(vault: Vault, count: int) -> Crowd:
    aggregates: list[Host | Certificate] = []
    identities = []
    for number in range(count):
        host, certificate, identity = _host(vault, number)
        aggregates += (host, certificate)
        identities.append(identity)
    async with vault.store.write() as records:
        await records.save(Decision(aggregates=tuple(aggregates)), BY_VAULT)
    root = vault.authority.root_certificate.decode()
    return Crowd(vault.record.id, root, tuple(identities))


def _host(vault: Vault, number: int) -> tuple[Host, Certificate, Identity]:
    now = vault.clock.now()
    host_id = HostId(vault.randomness.uuid())
    pem = generate_private_key()
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    issued = vault.authority.issue(Role.HOST, host_id, key.public_key(), now)
    certificate = Certificate(
        id=issued.serial,
        role=Role.HOST,
        name=host_id,
        state=CertificateState.ACTIVE,
        issued_at=now,
        not_after=issued.not_after,
        public_key_hash=key_hash(key.public_key()),
        chain=issued.chain,
    )
    identity = Identity(host_id, issued.chain.decode(), pem.decode())
    return Host(host_id, f"host-{number:05}", SITE, now), certificate, identity
