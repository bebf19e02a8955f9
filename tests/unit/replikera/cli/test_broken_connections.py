import aiohttp
import pytest

from replikera.cli.broken_connections import hung_up, told
from replikera.cli.errors import (
    AnswerLostError,
    CommandError,
    UnreachableError,
)
from replikera.cli.profile import Profile, load_profile
from tests.unit.replikera.cli.running import Cli


@pytest.fixture
def profile(cli: Cli) -> Profile:
    return load_profile(cli.ports.files, cli.profile, cli.clock.now())


def translated(profile: Profile, error: Exception) -> CommandError:
    with pytest.raises(CommandError) as caught, told(profile, 30):
        raise error
    return caught.value


def test_silence_is_no_proof_that_nothing_was_done(profile: Profile) -> None:
    assert translated(profile, TimeoutError()).code == "vault-silent"
    assert isinstance(translated(profile, TimeoutError()), AnswerLostError)
    in_the_middle = translated(profile, aiohttp.SocketTimeoutError())
    assert isinstance(in_the_middle, AnswerLostError)
    assert "in the middle of an answer" in in_the_middle.cause


def test_a_connection_that_was_never_made_carried_nothing(profile: Profile) -> None:
    found = translated(profile, aiohttp.ConnectionTimeoutError("slow"))
    assert isinstance(found, UnreachableError)
    assert not isinstance(found, AnswerLostError)


def test_a_connection_that_ended_names_the_profile(profile: Profile) -> None:
    found = translated(profile, aiohttp.ServerDisconnectedError())
    assert isinstance(found, AnswerLostError)
    assert str(profile.folder) in found.remedy
    assert "not whole" in hung_up(profile, "the answer is not whole").cause


def test_what_is_no_matter_of_the_connection_passes(profile: Profile) -> None:
    with pytest.raises(ZeroDivisionError), told(profile, 30):
        raise ZeroDivisionError
