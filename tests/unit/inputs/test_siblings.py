"""The images that are planned together with another one."""

from typing import Any

import pytest

from lamina.errors import InvalidArgument
from lamina.inputs.siblings import NO_SIBLINGS, Siblings, parse_siblings
from lamina.inputs.spec import Spec

WEB = {"contents": ["web"], "layering": "shared"}


def parse(value: Any) -> Siblings:
    return parse_siblings("siblings", value)


def test_images_with_another_layering_are_left_out() -> None:
    found = parse({"web": WEB, "api": {"contents": ["api"]}, "worker": {"layering": "cost", "max_layers": "wrong"}})
    assert [(name, spec.contents) for name, spec in found.images] == [("web", ("web",))]
    assert parse({"api": {}}) is NO_SIBLINGS
    assert parse(found) is found


def test_each_platform_is_an_image() -> None:
    found = parse({"web": {**WEB, "platforms": ["linux/amd64", "linux/arm64"]}})
    assert [(name, spec.architecture) for name, spec in found.images] == [
        ("web linux/amd64", "amd64"),
        ("web linux/arm64", "arm64"),
    ]


def test_siblings_of_siblings_are_not_used() -> None:
    ((_, spec),) = parse({"web": {**WEB, "siblings": 5}}).images
    assert spec.siblings is NO_SIBLINGS


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([WEB], "siblings: got [{'contents': ['web'], 'layering': 'shared'}], expected the arguments of each image"),
        ({1: WEB}, "siblings: got {1: "),
        ({"web": "shared"}, "siblings: got {'web': 'shared'}, expected the arguments of each image, by its name"),
        ({"web": {**WEB, "max_layers": "x"}}, "web: max_layers: got 'x', expected"),
        ({"web": {**WEB, "colour": "x"}}, "web: 'colour': got no argument of that name"),
    ],
)
def test_a_wrong_value_is_an_error(value: Any, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Spec.parse({"siblings": value})
    assert str(caught.value).startswith(message)
