import pytest
import typer

from replikera.cli.storage_arguments import HostStorage, parse_host_storage


@pytest.mark.parametrize(
    ("text", "host", "storage_class"),
    [("hv1/gold", "hv1", "gold"), ("hv1", "hv1", ""), ("hv1/fast/ssd", "hv1", "fast/ssd")],
)
def test_storage_is_a_host_and_maybe_a_class(text: str, host: str, storage_class: str) -> None:
    assert parse_host_storage(text) == HostStorage(host, storage_class)


@pytest.mark.parametrize("text", ["", "/gold", "hv1/"])
def test_half_a_name_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="HOST/CLASS"):
        parse_host_storage(text)
