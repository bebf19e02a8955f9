import json
import sys

import yaml

from replikera.cli.documents import dump
from replikera.cli.invocation import OutputFormat

DOCUMENT = {"items": [{"name": "ü\n", "at": "2026-03-01T12:00:00Z", "n": 2**70}], "next": None}


def test_json_is_laid_out_for_one_and_a_line_for_many() -> None:
    one = dump(DOCUMENT, OutputFormat.JSON)
    many = dump(DOCUMENT, OutputFormat.JSON, is_one_of_many=True)
    assert json.loads(one) == json.loads(many) == DOCUMENT
    assert "\n" in one
    assert "\n" not in many


def test_yaml_says_the_same() -> None:
    assert yaml.safe_load(dump(DOCUMENT, OutputFormat.YAML)) == DOCUMENT
    assert "replikera.cli.yaml_text" in sys.modules
