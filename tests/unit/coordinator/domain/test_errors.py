from coordinator.domain.errors import DomainError, InvalidValueError


def test_an_error_reads_as_cause_and_remedy_and_keeps_both() -> None:
    error = InvalidValueError("too-short", "It is too short.", "Make it longer.", field="name")
    assert str(error) == "It is too short. Make it longer."
    assert (error.code, error.cause, error.remedy) == (
        "too-short",
        "It is too short.",
        "Make it longer.",
    )
    assert error.field == "name"
    assert isinstance(error, DomainError)
