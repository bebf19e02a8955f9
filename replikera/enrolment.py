"""The join line: what an operator hands to a new host, once."""

import re
from dataclasses import dataclass, field

_PREFIX = "rk1"
_PATTERN = re.compile(
    r"rk1/(?P<key_id>[0-9a-f]{16})/(?P<secret>[A-Za-z0-9_-]{43})"
    r"/(?P<address>[A-Za-z0-9.\[\]:-]{3,255})/(?P<fingerprint>[0-9a-f]{64})"
)


class JoinLineError(ValueError):
    """The text is not a join line. The message never repeats it: it may hold a secret."""


@dataclass(frozen=True, slots=True)
class JoinLine:
    """A registration key and how to find and recognise the vault it is for.

    `secret` is 256 bits in URL-safe base64 without padding, `address` the enrolment listener as "host:port",
    `root_fingerprint` the SHA-256 of the root certificate's DER, hexadecimal.
    """

    key_id: str
    secret: str = field(repr=False)
    address: str
    root_fingerprint: str

    def format(self) -> str:
        """Return the one line of text."""
        return "/".join((_PREFIX, self.key_id, self.secret, self.address, self.root_fingerprint))


def parse_join_line(text: str) -> JoinLine:
    """Return the parts of a join line; surrounding white space is ignored. Raises `JoinLineError`."""
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise JoinLineError(
            "this is not a whole join line: copy the line that `replikera host invite` prints, "
            "from rk1/ to its end"
        )
    return JoinLine(match["key_id"], match["secret"], match["address"], match["fingerprint"])
