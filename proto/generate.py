"""Generate the Python stubs of the wire protocol, or check that they are current.

``python proto/generate.py`` writes ``replikera/wire/v1``; ``--check`` writes to a temporary folder and fails
with the names of the files that differ. The generator's version is pinned in ``pyproject.toml``; a newer runtime
reads what an older generator wrote, not the other way round.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path("replikera/wire/v1")


def generate(target: Path) -> None:
    """Write the stubs of every proto file below `target`."""
    proto = ROOT / "proto"
    sources = sorted(str(path.relative_to(proto)) for path in (proto / PACKAGE).glob("*.proto"))
    plugins = Path(sys.executable).parent
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"--proto_path={proto}",
        f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        f"--mypy_out=quiet:{target}",
        f"--mypy_grpc_out=quiet,only_async:{target}",
        *sources,
    ]
    subprocess.run(command, check=True, cwd=proto)
    for path in (target / PACKAGE).glob("*_pb2_grpc.py*"):
        if path.name.removesuffix("i").removesuffix("_pb2_grpc.py") not in services(proto):
            path.unlink()


def services(proto: Path) -> set[str]:
    """Return the names of the proto files that define a service."""
    return {
        path.stem
        for path in (proto / PACKAGE).glob("*.proto")
        if any(line.startswith("service ") for line in path.read_text().splitlines())
    }


def stubs(folder: Path) -> dict[str, bytes]:
    """Return the generated files below `folder` by name."""
    return {path.name: path.read_bytes() for path in (folder / PACKAGE).glob("*_pb2*.py*")}


def check() -> int:
    """Return 1 and name the files that differ from a fresh generation, else 0."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh, kept = stubs(Path(folder)), stubs(ROOT)
    differing = sorted(
        name for name in fresh.keys() | kept.keys() if fresh.get(name) != kept.get(name)
    )
    for name in differing:
        print(f"{PACKAGE / name}: differs from proto/; run `make proto`", file=sys.stderr)
    return 1 if differing else 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the stubs are stale")
    if parser.parse_args().check:
        return check()
    generate(ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
