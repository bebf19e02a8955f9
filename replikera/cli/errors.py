"""How commands fail: what scripts branch on, and what people read."""

from collections.abc import Mapping
from enum import IntEnum


class ExitCode(IntEnum):
    """The program's exit codes; part of its contract with scripts, and written down in docs/operations.md."""

    FAILED = 1
    USAGE = 2
    NOT_DONE = 3
    """Declined, not confirmed, cancelled, or not waited for any longer."""

    AUTHENTICATION = 4
    JOB_FAILED = 5
    NOT_FOUND = 6
    CONFLICT = 7
    PENDING = 8
    INTERRUPTED = 130


class CommandError(Exception):
    """A command failed: `code` for programs, `cause` and `remedy` for people.

    `document` is the vault's own problem document (RFC 9457) where there is one.
    """

    exit_code = ExitCode.FAILED

    def __init__(
        self, code: str, cause: str, remedy: str, document: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(f"{cause}. {remedy}")
        self.code = code
        self.cause = cause
        self.remedy = remedy
        self.document = document

    def problem(self) -> dict[str, object]:
        """Return the problem document of this failure."""
        own: dict[str, object] = {
            "type": "about:blank",
            "title": self.cause,
            "detail": self.cause,
            "code": self.code,
            "remedy": self.remedy,
        }
        return {**own, **(self.document or {})}


class UnreachableError(CommandError):
    """No vault answers at the profile's address, or it cannot for the moment."""


class AnswerLostError(UnreachableError):
    """The connection broke after the request may have reached the vault: it was done, or not."""


class AnswerError(CommandError):
    """The vault answered something that this version does not understand."""


class RefusedError(CommandError):
    """The vault refused or failed."""


class InvalidRequestError(CommandError):
    """The vault found a value of the request wrong."""

    exit_code = ExitCode.USAGE


class AuthenticationError(CommandError):
    """This operator is not known to the vault, or this vault not to the operator."""

    exit_code = ExitCode.AUTHENTICATION


class NotFoundError(CommandError):
    """The vault has no such object."""

    exit_code = ExitCode.NOT_FOUND


class ConflictError(CommandError):
    """The object's present state does not allow this."""

    exit_code = ExitCode.CONFLICT


class JobFailedError(CommandError):
    """The job ran and failed."""

    exit_code = ExitCode.JOB_FAILED


class JobCancelledError(CommandError):
    """The job was cancelled before it was done."""

    exit_code = ExitCode.NOT_DONE


class WaitTimedOutError(CommandError):
    """The job still ran when the time to wait was over."""

    exit_code = ExitCode.NOT_DONE


class DeclinedError(CommandError):
    """Nobody confirmed what cannot be taken back."""

    exit_code = ExitCode.NOT_DONE
