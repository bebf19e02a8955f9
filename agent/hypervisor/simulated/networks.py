"""Isolated networks that are made for somebody, found again by their tag, and removed."""

from agent.hypervisor.interface import HypervisorError, Network
from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.effects import Effects, Evidence
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.state import NetworkEntry, NetworksFile
from replikera.ports.files import Files

MAX_NETWORKS = 1024
"""With names of 100 characters networks.json then has a quarter of a MiB."""

_MAX_NAME_CHARACTERS = 100


class Networks:
    """Adds and removes networks of one host. All calls block."""

    def __init__(self, files: Files, host: HostFolder, effects: Effects) -> None:
        self._files = files
        self._host = host
        self._effects = effects

    def ensure_isolated(self, name: str, tag: str) -> Network:
        """Return the tag's isolated network of this name, made where it is missing."""
        state.check_file_name("tag of a network", tag)
        _check_name(name)
        with self._host.lock():
            self._effects.settle(self._host.root)
            entries = self._host.network_entries()
            existing = next((entry for entry in entries if entry.name == name), None)
            if existing is None:
                self._add(entries, NetworkEntry(name, True, (), tag))
            elif existing.tag != tag or not existing.is_isolated:
                raise _name_taken(existing, tag)
            return self._read_back(name, tag)

    def remove_isolated(self, name: str, tag: str) -> None:
        """Remove the tag's network. A missing one is no error."""
        with self._host.lock():
            self._effects.settle(self._host.root)
            entries = self._host.network_entries()
            existing = next((entry for entry in entries if entry.name == name), None)
            if existing is None:
                return
            self._check_removable(existing, tag)
            rest = tuple(entry for entry in entries if entry is not existing)
            self._save("network-removed", existing, rest)

    def _add(self, entries: tuple[NetworkEntry, ...], entry: NetworkEntry) -> None:
        if len(entries) >= MAX_NETWORKS:
            raise HypervisorError(
                "too-many-networks",
                f"This host has {len(entries)} networks, at most {MAX_NETWORKS} are possible.",
                "Clean up test failovers that are no longer needed.",
            )
        self._save("network-created", entry, (*entries, entry))

    def _save(self, effect: str, entry: NetworkEntry, entries: tuple[NetworkEntry, ...]) -> None:
        path, content = self._host.networks_path, NetworksFile(entries)
        evidence = Evidence(path, state.NETWORKS.encode(content))
        with self._effects.making(self._host.root, effect, entry.name, entry.tag, evidence):
            state.NETWORKS.save(self._files, path, content)

    def _read_back(self, name: str, tag: str) -> Network:
        for network in self._host.networks():
            if (network.name, network.tag, network.is_isolated) == (name, tag, True):
                return network
        raise HypervisorError(
            "network-missing",
            f"The host does not show network {name} that was just made.",
            f"Look at {self._host.networks_path}, then try again.",
        )

    def _check_removable(self, entry: NetworkEntry, tag: str) -> None:
        if not tag or entry.tag != tag:
            raise HypervisorError(
                "not-ours",
                f"Network {entry.name} does not carry the tag {tag!r}.",
                "Remove it by hand if it is no longer needed.",
            )
        users = [
            machine.description.name
            for _, machine in self._host.machines()
            if any(nic.network == entry.name for nic in machine.description.nics)
        ]
        if users:
            raise HypervisorError(
                "network-in-use",
                f"Network {entry.name} has adapters of {', '.join(sorted(users))}.",
                "Remove or disconnect these machines first.",
            )


def _name_taken(existing: NetworkEntry, tag: str) -> HypervisorError:
    owner = f"carries the tag {existing.tag!r}" if existing.tag else "was not made by this agent"
    return HypervisorError(
        "network-exists",
        f"This host has a network {existing.name} already, and it {owner}, not the tag {tag!r}.",
        "Choose another name, or use that network as an existing one.",
    )


def _check_name(name: str) -> None:
    if not name.strip() or not name.isprintable() or len(name) > _MAX_NAME_CHARACTERS:
        raise HypervisorError(
            "bad-name",
            f"{name!r} cannot be the name of a network here.",
            f"Use 1 to {_MAX_NAME_CHARACTERS} printable characters.",
        )
