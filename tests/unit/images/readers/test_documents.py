"""Documents of images are checked, and an error says what is wrong without Python's form of it."""

import pytest

from lamina.errors import Error, FormatError
from lamina.images.readers.documents import get_field, parse_diff_ids, parse_digest, parse_list, parse_strings


def test_fields_of_documents_are_checked() -> None:
    assert get_field({"a": 1}, "f", "a") == 1
    assert parse_list("f", None) == []
    assert parse_strings("f", ["a"]) == ["a"]
    assert parse_strings("f", None) == []
    assert parse_digest("sha256:" + "0" * 64, "f").hex == "0" * 64
    for call in (lambda: get_field([], "f", "a"), lambda: parse_list("f", {}), lambda: parse_strings("f", [1])):
        with pytest.raises(FormatError, match="f: got "):
            call()
    for text in ("sha512:" + "0" * 128, "sha256:x", ""):
        with pytest.raises(FormatError, match=r"^f: digest: got "):
            parse_digest(text, "f")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "c: got an object without rootfs, expected an object with rootfs, as in an image"),
        (None, "c: got null, expected an object with rootfs, as in an image"),
        ({"rootfs": {"diff_ids": {}}}, "c: diff_ids: got an object, expected a list, as in an image"),
        (
            {"rootfs": {"diff_ids": [[]]}},
            "c: diff_ids: got a list with other values, expected a list of strings, as in an image",
        ),
        ({"rootfs": {"diff_ids": ["md5:1"]}}, "c: diff_ids: digest: got 'md5:1', expected sha256: and 64 hex digits"),
        ({"rootfs": {"diff_ids": []}}, "c: rootfs: got 0 diff IDs, expected 1, one for each layer"),
    ],
)
def test_an_error_of_a_config_names_it(config: object, message: str) -> None:
    with pytest.raises(Error) as caught:
        parse_diff_ids(config, "c", 1)
    assert str(caught.value) == message
