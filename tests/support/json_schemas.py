"""The JSON Schemas of the documents of ``--json``, stricter than they are published: no key may be unknown."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema


def check_document(verb: str, document: Any) -> None:
    """Check the document of a verb, such as ``store ls``; the document of an error is that of ``error``."""
    _make_validator(verb).validate(document)


@cache
def _make_validator(verb: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(_refuse_unknown_keys(load_schema(verb)))


def load_schema(verb: str) -> Any:
    """Return the JSON Schema of the document of a verb, as a user finds it."""
    file = files("lamina") / "schemas" / f"{verb.replace(' ', '-')}.schema.json"
    return json.loads(file.read_text(encoding="utf-8"))


def _refuse_unknown_keys(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_refuse_unknown_keys(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _refuse_unknown_keys(value) for key, value in schema.items()}
    return {**strict, "additionalProperties": False} if isinstance(schema.get("properties"), dict) else strict
