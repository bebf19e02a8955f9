"""What it means for an operator when a connection to the vault fails."""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

from replikera.cli.errors import (
    AnswerLostError,
    AuthenticationError,
    CommandError,
    UnreachableError,
)
from replikera.cli.profile import Profile


@contextmanager
def told(profile: Profile, patience_s: float) -> Iterator[None]:
    """Raise what the block raises of a connection as a `CommandError`."""
    try:
        yield
    except aiohttp.ClientError as error:
        raise _translated(profile, error) from error
    except TimeoutError as error:
        raise AnswerLostError(
            "vault-silent",
            f"The vault at {profile.api_address} did not answer within {patience_s:g} seconds",
            "Check the network, and the coordinator's log",
        ) from error


def hung_up(profile: Profile, reason: str) -> CommandError:
    """Return the error of a connection that ended in the middle.

    A vault that refuses a certificate hangs up without a word: what this side can tell of its own was looked at before.
    """
    return AnswerLostError(
        "vault-hung-up",
        f"The vault at {profile.api_address} ended the connection without an answer: {reason}",
        "It may be restarting: try again. If that does not help, the coordinator's log says whether "
        f"it refuses the certificate in {profile.folder}; compare the clocks of both machines then",
    )


def _translated(profile: Profile, error: aiohttp.ClientError) -> CommandError:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return AuthenticationError(
            "vault-not-trusted",
            f"What answers at {profile.api_address} did not prove to be vault {profile.vault_id}",
            "Check api_address in the profile; if the vault was made anew, use the profile of the "
            "new one",
        )
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return UnreachableError(
            "vault-unreachable",
            f"No vault answers at {profile.api_address}: {_reason(error)}",
            "Check that the coordinator runs, and api_address in "
            f"{profile.folder / 'profile.json'}",
        )
    if isinstance(error, TimeoutError):
        return AnswerLostError(
            "vault-silent",
            f"The vault at {profile.api_address} fell silent in the middle of an answer",
            "Check the network, and the coordinator's log",
        )
    return hung_up(profile, _reason(error))


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", None)
    text = getattr(cause, "strerror", None) or str(error)
    return text or type(error).__name__
