import pytest

from replikera.cli.errors import AnswerLostError, ConflictError, UnreachableError
from replikera.cli.repeating import PAUSES_S, until_answered
from tests.unit.replikera.cli.running import FakeClock

LOST = AnswerLostError("vault-hung-up", "It hung up", "try again")
SILENT = AnswerLostError("vault-silent", "It is silent", "Look")
AWAY = UnreachableError("vault-unreachable", "It is away", "Start it")


class Attempts:
    def __init__(self, *results: str | Exception) -> None:
        self.results = list(results)
        self.count = 0

    async def __call__(self) -> str:
        self.count += 1
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result


async def test_an_answer_is_taken_as_it_comes() -> None:
    clock, attempts = FakeClock(), Attempts("done")
    assert await until_answered(clock, attempts) == "done"
    assert (clock.sleeps, attempts.count) == ([], 1)


async def test_a_lost_answer_is_asked_for_again_even_where_the_vault_is_away_meanwhile() -> None:
    clock, attempts = FakeClock(), Attempts(LOST, AWAY, LOST, "done")
    assert await until_answered(clock, attempts) == "done"
    assert clock.sleeps == list(PAUSES_S[:3])


async def test_a_vault_that_cannot_be_reached_was_asked_nothing() -> None:
    clock, attempts = FakeClock(), Attempts(AWAY)
    with pytest.raises(UnreachableError) as caught:
        await until_answered(clock, attempts)
    assert caught.value is AWAY
    assert attempts.count == 1


async def test_a_silent_vault_is_not_asked_again() -> None:
    attempts = Attempts(SILENT)
    with pytest.raises(AnswerLostError, match="may have been done: look before asking again. Look"):
        await until_answered(FakeClock(), attempts)
    assert attempts.count == 1


async def test_the_last_failure_says_that_the_fate_is_unknown() -> None:
    attempts = Attempts(LOST, AWAY)
    with pytest.raises(
        AnswerLostError, match="It is away. What was asked may have been done"
    ) as caught:
        await until_answered(FakeClock(), attempts)
    assert caught.value.code == "vault-unreachable"
    assert attempts.count == len(PAUSES_S) + 1


async def test_a_refusal_ends_it_at_any_attempt() -> None:
    refusal = ConflictError("taken", "It is taken", "Choose another")
    for results in ((refusal,), (LOST, refusal)):
        with pytest.raises(ConflictError):
            await until_answered(FakeClock(), Attempts(*results))
