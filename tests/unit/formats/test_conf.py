"""The fields of nixpkgs' ``conf.json``, and documents that are refused."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.factories import path

from lamina.errors import FormatError
from lamina.formats.conf import Conf

DOCUMENT: dict[str, Any] = {
    "architecture": "aarch64",
    "config": {"Env": ["A=b"], "Cmd": ["/bin/x"]},
    "store_dir": "/nix/store",
    "from_image": None,
    "store_layers": [[str(path("A")), str(path("B"))], []],
    "customisation_layer": "/nix/store/x",
    "repo_tag": "hello:1",
    "created": "now",
    "mtime": "2020-01-02T03:04:05",
    "uid": "1000",
    "gid": 0,
    "uname": "user",
    "gname": "root",
}


def parse(**changes: Any) -> Conf:
    return Conf.parse(json.dumps(DOCUMENT | changes).encode())


def test_every_field_is_a_checked_value() -> None:
    conf = parse()
    assert (conf.architecture, conf.from_image, str(conf.repo_tag)) == ("arm64", None, "hello:1")
    assert list(conf.config or ()) == ["Env", "Cmd"]
    assert conf.store_layers == ((path("A"), path("B")), ())
    assert (conf.created, conf.mtime) == (None, datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert (conf.owner.uid, conf.owner.gid, conf.owner.uname, conf.owner.gname) == (1000, 0, "user", "root")


@pytest.mark.parametrize("field", DOCUMENT)
def test_a_missing_field_is_named(field: str) -> None:
    text = json.dumps({name: value for name, value in DOCUMENT.items() if name != field})
    with pytest.raises(FormatError, match=f"conf: got no {field}, expected "):
        Conf.parse(text.encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("architecture", "vax"),
        ("config", []),
        ("store_dir", "/gnu/store"),
        ("from_image", 5),
        ("store_layers", [["/nix/store/short"]]),
        ("store_layers", "x"),
        ("customisation_layer", "a\0b"),
        ("repo_tag", "no tag"),
        ("created", "yesterday"),
        ("uid", -1),
        ("uid", True),
        ("gid", 1 << 53),
        ("uname", None),
    ],
)
def test_a_value_of_another_kind_is_refused(field: str, value: Any) -> None:
    with pytest.raises(FormatError, match=f"conf: got {field} "):
        parse(**{field: value})


def test_a_list_is_not_a_conf() -> None:
    with pytest.raises(FormatError, match="expected an object"):
        Conf.parse(b"[]")
