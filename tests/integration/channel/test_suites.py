"""TLS 1.2 is ruled out before gRPC can be imported, whatever the environment says."""

import os
import subprocess
import sys

import pytest

ASK = (
    "import sys, os, {package}; print('grpc' in sys.modules, os.environ['GRPC_SSL_CIPHER_SUITES'])"
)


@pytest.mark.parametrize("package", ["replikera", "coordinator", "agent"])
def test_every_package_leaves_no_suite_to_tls_1_2(package: str) -> None:
    environment = os.environ | {
        "GRPC_SSL_CIPHER_SUITES": "ECDHE-ECDSA-AES128-GCM-SHA256",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    told = subprocess.run(
        [sys.executable, "-c", ASK.format(package=package)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert told.split() == ["False", "ECDHE-RSA-AES256-GCM-SHA384"]
