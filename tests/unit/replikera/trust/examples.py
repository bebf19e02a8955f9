"""A grant and a deny-list of the test vault, and hypothesis strategies for others."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from replikera.trust.deny_list import DeniedCertificate, DenyList
from replikera.trust.grant import Grant
from tests.support.authority import VAULT_ID

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
GRANT = Grant(
    vault_id=VAULT_ID,
    protection_id="pppppppp-0000-4000-8000-000000000001",
    epoch=3,
    generation="gggggggg-0000-4000-8000-000000000001",
    source_host_id="aaaaaaaa-0000-4000-8000-000000000001",
    target_host_id="aaaaaaaa-0000-4000-8000-000000000002",
    version=7,
    not_before=NOW,
    not_after=NOW + timedelta(days=7),
)
DENY_LIST = DenyList(
    vault_id=VAULT_ID,
    version=4,
    issued_at=NOW,
    certificates=(
        DeniedCertificate(0x1FF, f"spiffe://{VAULT_ID}/host/h1", NOW + timedelta(days=1)),
    ),
    identities=frozenset({f"spiffe://{VAULT_ID}/host/h2"}),
)

_ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
_numbers = st.integers(1, 2**64 - 1)
_times = st.datetimes(
    datetime(1971, 1, 1),  # noqa: DTZ001 - hypothesis wants bounds without a zone
    datetime(9998, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
_identities = st.text(max_size=60).map(lambda name: f"spiffe://v/host/{name}")

grants = st.builds(
    Grant,
    vault_id=st.just(VAULT_ID),
    protection_id=_ids,
    epoch=_numbers,
    generation=_ids,
    source_host_id=_ids,
    target_host_id=_ids,
    version=_numbers,
    not_before=st.just(NOW),
    not_after=_times.filter(lambda end: end > NOW),
)
deny_lists = st.builds(
    DenyList,
    vault_id=st.just(VAULT_ID),
    version=_numbers,
    issued_at=_times,
    certificates=st.lists(
        st.builds(
            DeniedCertificate,
            serial=st.integers(1, 2**160 - 1),
            identity=_identities,
            not_after=_times,
        ),
        max_size=5,
    ).map(tuple),
    identities=st.frozensets(_identities, max_size=5),
)
