import io

from rich.console import Console

from replikera.cli.host_view import COLUMNS, render_host, row
from tests.unit.replikera.cli.running import squeezed


def rendered(host: dict[str, object]) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=200).print(render_host(host))
    return squeezed(text.getvalue())


def test_a_row_has_every_column() -> None:
    assert len(row({})) == len(COLUMNS)


def test_a_host_without_anything_is_unknown() -> None:
    lines = rendered({})
    assert lines[0] == "host unknown"
    assert not [line for line in lines if line.startswith(("cause", "CERTIFICATE"))]


def test_why_a_host_is_not_let_in_and_its_certificates_are_shown() -> None:
    certificate = {
        "serial": "1f",
        "state": "denied",
        "issued_at": "2026-11-22T20:14:55Z",
        "not_after": "2026-11-29T20:14:55Z",
    }
    lines = rendered(
        {
            "name": "hv1",
            "state": "quarantined",
            "cause": "It is a copy",
            "remedy": "Readmit one",
            "certificates": [certificate],
        }
    )
    assert "cause It is a copy" in lines
    assert "remedy Readmit one" in lines
    assert lines[-2:] == [
        "CERTIFICATE STATE ISSUED ENDS",
        "1f denied 2026-11-22 20:14:55Z 2026-11-29 20:14:55Z",
    ]


def test_the_folders_that_a_host_offers_are_shown() -> None:
    offering = rendered({"replica_folders": ["D:\\Replicas", "E:\\"]})
    assert "replica folders D:\\Replicas, E:\\" in offering
    assert "replica folders none told" in rendered({"replica_folders": []})
    assert not [line for line in rendered({}) if line.startswith("replica folders")]
