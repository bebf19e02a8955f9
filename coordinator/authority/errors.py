"""Why the authority cannot work."""


class AuthorityError(Exception):
    """The authority's files or passphrase cannot be used."""

    def __init__(self, code: str, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy}")
        self.code = code
        self.cause = cause
        self.remedy = remedy
