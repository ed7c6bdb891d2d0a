"""JSON documents as they are printed."""

import json

import pytest

from lamina.cli.reporting import print_json


@pytest.mark.parametrize("to_stderr", [False, True])
def test_a_document_begins_with_its_version_and_shows_no_secret(
    capsys: pytest.CaptureFixture[str], to_stderr: bool
) -> None:
    print_json({"a": 1, "warnings": ["from https://user:hunter2@host/x"]}, to_stderr=to_stderr)
    captured = capsys.readouterr()
    text = captured.err if to_stderr else captured.out
    document = json.loads(text)
    assert list(document) == ["version", "a", "warnings"]
    assert "hunter2" not in text
    assert (captured.out if to_stderr else captured.err) == ""
