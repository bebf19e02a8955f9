"""Other software that tests compare with. A test that lacks it skips, naming the package; in CI that is a failure."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

IN_CI = os.environ.get("CI") == "true"

_SYSTEM_PYTHON = Path("/usr/bin/python3")


def missing(what: str, package: str) -> NoReturn:
    """Skip the test, or fail it in CI, where every oracle is installed."""
    told = f"{what} is missing: install the package {package}"
    if IN_CI:
        pytest.fail(told)
    pytest.skip(told)


def program(name: str, package: str) -> str:
    """Return the path of a program."""
    found = shutil.which(name)
    if found is None:
        missing(name, package)
    return found


def qemu_img() -> str:
    """Return QEMU's program for disk images."""
    return program("qemu-img", "qemu-utils")


def debian_python(module: str, package: str) -> str:
    """Return the system's interpreter, which has modules of Debian's packages."""
    if _SYSTEM_PYTHON.exists():
        done = subprocess.run(
            [_SYSTEM_PYTHON, "-c", f"import {module}"], capture_output=True, check=False, timeout=60
        )
        if done.returncode == 0:
            return str(_SYSTEM_PYTHON)
    missing(module, package)
