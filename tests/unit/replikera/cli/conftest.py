from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from replikera.identity import Credentials, Role
from tests.support.authority import Authority, make_authority
from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli, write_profile


@pytest.fixture(scope="session")
def authority() -> Authority:
    return make_authority()


@pytest.fixture(scope="session")
def operator(authority: Authority) -> Credentials:
    return authority.issue(Role.OPERATOR, "ada", valid_for=timedelta(days=30))


@pytest.fixture
async def vault(authority: Authority) -> AsyncIterator[FakeVault]:
    fake = FakeVault()
    server = await fake.start(authority)
    yield fake
    await server.close()


@pytest.fixture
def cli(vault: FakeVault, operator: Credentials, tmp_path: Path) -> Cli:
    folder = tmp_path / "profile"
    write_profile(folder, operator, api_address=vault.address)
    return Cli(folder)
