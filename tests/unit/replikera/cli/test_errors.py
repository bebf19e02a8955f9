from replikera.cli.errors import ConflictError, RefusedError


def test_a_local_failure_is_a_whole_problem_document() -> None:
    assert RefusedError("some-code", "It broke", "Mend it").problem() == {
        "type": "about:blank",
        "title": "It broke",
        "detail": "It broke",
        "code": "some-code",
        "remedy": "Mend it",
    }


def test_the_vaults_own_document_is_kept_and_completed() -> None:
    document = {"type": "https://x/errors", "title": "Conflict", "status": 409, "instance": "/p/1"}
    problem = ConflictError("http-409", "Conflict", "", document).problem()
    assert {key: problem[key] for key in document} == document
    assert problem["code"] == "http-409"
