from agent.source.status import Failure
from agent.source.warnings import Warnings


def test_the_newest_of_those_that_hold_is_shown() -> None:
    warnings = Warnings()
    first, second = Failure("a", "1", "r"), Failure("b", "2", "r")
    warnings.put(first)
    warnings.put(second)
    assert warnings.newest == second
    warnings.put(first)
    assert warnings.newest == first
    warnings.clear("a", "unknown")
    assert warnings.newest == second


def test_without_any_there_is_none() -> None:
    assert Warnings().newest is None
