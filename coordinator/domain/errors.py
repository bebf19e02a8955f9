"""Why the vault says no: always a stable code, the cause and the remedy."""


class DomainError(Exception):
    """A request that the vault does not carry out."""

    def __init__(self, code: str, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy}")
        self.code = code
        self.cause = cause
        self.remedy = remedy


class UnknownObjectError(DomainError):
    """Nothing has that name or id."""


class IllegalTransitionError(DomainError):
    """The object exists, but not in a state that allows this."""


class InvalidValueError(DomainError):
    """A value is outside what is allowed. `field` names it as the request does."""

    def __init__(self, code: str, cause: str, remedy: str, *, field: str) -> None:
        super().__init__(code, cause, remedy)
        self.field = field


class RefusedError(DomainError):
    """Well-formed and understood, and against a rule."""


class ForbiddenError(DomainError):
    """The caller is who it says, and may not do this."""


class KeyRefusedError(DomainError):
    """A registration key does not open the vault."""
