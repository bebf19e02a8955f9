"""The vault's answers as text for programs."""

import json

from replikera.cli.invocation import OutputFormat
from replikera.cli.lazy import load


def dump(document: object, output_format: OutputFormat, *, is_one_of_many: bool = False) -> str:
    """Return a document without a line end; one of many can be told from the next: one line, or one YAML document."""
    if output_format is OutputFormat.YAML:
        # Loaded on demand: nobody who wants JSON or a table waits for it.
        text: str = load("replikera.cli.yaml_text:dump")(document, is_one_of_many=is_one_of_many)
        return text
    return json.dumps(document, indent=None if is_one_of_many else 2)
