"""A lab error tells what to do."""

from replikera.lab.errors import LabError


def test_an_error_says_what_happened_and_what_to_do() -> None:
    error = LabError("the vault is gone", "Start it again")
    assert str(error) == "the vault is gone. Start it again."
    assert (error.cause, error.remedy) == ("the vault is gone", "Start it again")
