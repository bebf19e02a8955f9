import json

import pytest
import yaml

from replikera.cli.errors import ExitCode
from replikera.cli.invocation import OutputFormat
from replikera.cli.yaml_text import dump


def test_documents_follow_each_other() -> None:
    text = "\n".join(dump({"look": look}, is_one_of_many=True) for look in range(3))
    assert list(yaml.safe_load_all(text)) == [{"look": 0}, {"look": 1}, {"look": 2}]


@pytest.mark.parametrize("value", ["no", "1e3", "2026-03-01T12:00:00Z", "null", "a: b", "x" * 500])
def test_text_stays_text_on_one_line(value: str) -> None:
    text = dump({"value": value}, is_one_of_many=False)
    assert yaml.safe_load(text) == {"value": value}
    assert "\n" not in text


def test_a_bare_value_has_no_end_mark() -> None:
    assert dump("plain", is_one_of_many=False) == "plain"


def test_keys_stay_in_the_vaults_order() -> None:
    assert dump({"z": 1, "a": 2}, is_one_of_many=False) == "z: 1\na: 2"


def test_it_says_what_json_says() -> None:
    document = {"format": OutputFormat.YAML, "code": ExitCode.PENDING, "pair": (1, None)}
    text = dump(document, is_one_of_many=False)
    assert yaml.safe_load(text) == json.loads(json.dumps(document))
