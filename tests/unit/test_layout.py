"""The tree keeps its shape: tests mirror modules, names say what a module holds."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("coordinator", "agent", "replikera")

ELSEWHERE = {
    # Compositions and edges that only mean something with the real thing on the other side.
    "agent/daemon.py": "tests/integration/agent, tests/e2e",
    "agent/main.py": "tests/integration/agent, tests/e2e",
    "agent/commands.py": "tests/integration/agent, tests/e2e",
    "agent/machinery.py": "tests/integration/agent, tests/e2e",
    "agent/control/join.py": "tests/integration/agent",
    "agent/control/stream.py": "tests/integration/agent",
    # Values without decisions, seen through every test of their users.
    "agent/failover/outcome.py": "tests/unit/agent/failover",
    "replikera/cli/invocation.py": "tests/unit/replikera/cli",
    "replikera/lab/witness/errors.py": "tests/unit/replikera/lab/witness",
    "replikera/vhdx/errors.py": "tests/unit/replikera/vhdx",
    "coordinator/daemon.py": "tests/integration/coordinator, tests/e2e",
    "coordinator/main.py": "tests/integration/coordinator, tests/e2e",
    # Listeners and channels: real connections on loopback.
    "replikera/channel/clients.py": "tests/integration/channel",
    "replikera/channel/dialling.py": "tests/integration/channel",
    "replikera/channel/limits.py": "tests/integration/channel",
    "replikera/channel/servers.py": "tests/integration/channel",
    "replikera/channel/serving.py": "tests/integration/channel",
    "replikera/channel/trust_root.py": "tests/integration/channel",
}
FORBIDDEN = {"utils", "helpers", "common", "misc", "base", "core", "manager", "helper", "util"}


def modules() -> list[Path]:
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted(
        path.relative_to(ROOT)
        for path in found
        if path.name != "__init__.py" and "wire" not in path.parts and "versions" not in path.parts
    )


def holds_logic(module: Path) -> bool:
    text = (ROOT / module).read_text()
    return "ports" not in module.parts and "def " in text and module.name != "interface.py"


@pytest.mark.parametrize("module", [str(path) for path in modules()])
def test_a_module_with_logic_has_its_tests(module: str) -> None:
    path = Path(module)
    mirrored = ROOT / "tests/unit" / path.parent / f"test_{path.name}"
    if holds_logic(path) and module not in ELSEWHERE:
        assert mirrored.is_file(), f"{module} has no {mirrored.relative_to(ROOT)}"


def test_what_is_tested_elsewhere_exists_there() -> None:
    for module, places in ELSEWHERE.items():
        assert (ROOT / module).is_file(), module
        for place in places.split(", "):
            assert list((ROOT / place).glob("test_*.py")), f"{module}: nothing in {place}"


def test_every_folder_of_tests_mirrors_a_package() -> None:
    for folder in {test.parent for test in (ROOT / "tests/unit").rglob("test_*.py")}:
        package = folder.relative_to(ROOT / "tests/unit")
        assert (ROOT / package).is_dir(), f"tests/unit/{package} mirrors nothing"


def test_no_module_is_named_after_nothing() -> None:
    assert not [path for path in modules() if path.stem in FORBIDDEN]


def test_no_module_is_collected_as_a_test() -> None:
    assert not [path for path in modules() if path.stem.startswith("test_")]


def test_proto_is_not_a_package() -> None:
    assert not list((ROOT / "proto").rglob("__init__.py"))
