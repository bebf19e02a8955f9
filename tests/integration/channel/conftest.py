import pytest

from tests.support.authority import Authority, make_authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    return make_authority()
