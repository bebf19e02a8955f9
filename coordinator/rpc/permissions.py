"""Who may call what: one row a method; what has no row is refused."""

from replikera.identity import Role

ENROLMENT = "replikera.wire.v1.EnrolmentService"
HOST_SESSION = "replikera.wire.v1.HostSessionService"

ANYBODY: frozenset[Role] | None = None
"""No certificate is asked for."""

_HOSTS = frozenset({Role.HOST})

PERMISSIONS: dict[tuple[str, str], frozenset[Role] | None] = {
    (ENROLMENT, "GetTrustRoot"): ANYBODY,
    (ENROLMENT, "Enrol"): ANYBODY,
    (HOST_SESSION, "Session"): _HOSTS,
    (HOST_SESSION, "RenewCertificate"): _HOSTS,
}
