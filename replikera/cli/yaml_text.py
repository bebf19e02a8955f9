"""YAML, for who reads it better than JSON."""

import json

import yaml

_WIDE = 2**31 - 1


def dump(document: object, *, is_one_of_many: bool) -> str:
    """Return a document as YAML without the last line end; keys in the vault's order, long texts unbroken."""
    text: str = yaml.dump(
        json.loads(json.dumps(document)),  # exactly what JSON would say: names of states are texts
        Dumper=yaml.SafeDumper,
        sort_keys=False,
        allow_unicode=True,
        width=_WIDE,
        explicit_start=is_one_of_many,
    )
    return text.removesuffix("\n").removesuffix("\n...")
