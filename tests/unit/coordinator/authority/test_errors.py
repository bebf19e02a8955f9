from coordinator.authority.errors import AuthorityError


def test_an_error_reads_as_cause_and_remedy() -> None:
    error = AuthorityError("x", "It is gone.", "Restore it.")
    assert str(error) == "It is gone. Restore it."
    assert (error.code, error.cause, error.remedy) == ("x", "It is gone.", "Restore it.")
