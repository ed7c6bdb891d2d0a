"""Results of public functions: a tuple with warnings, and one short line for every result."""

from pathlib import Path

import pytest
from tests.support.example_store import CACHE, KEY, hello
from tests.support.factories import info, path

import lamina
from lamina.api.results import ListResult

LARGE = lamina.Closure.of(info(f"p{number}", size=number << 20) for number in range(300))
PLAN = lamina.LayerPlan.of(LARGE.infos, "all of them, " * 100)


def test_a_result_is_a_tuple_with_warnings() -> None:
    result = ListResult(iter([1, 2]), ["careful"])
    assert result.warnings == ("careful",)
    assert result == (1, 2)
    assert ListResult([]).warnings == ()


def test_a_result_shows_its_first_items() -> None:
    assert repr(ListResult([1, 2, 3])) == "<ListResult: 1, 2, 3>"
    assert repr(ListResult(range(10))) == "<ListResult: 0, 1, 2, and 7 more>"
    assert repr(ListResult([])) == "<ListResult: nothing>"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (LARGE, "<Closure: 300 paths, 43.8 GiB>"),
        (LARGE.infos[0], None),
        (PLAN, "<LayerPlan p299 +299: 43.8 GiB>"),
        (lamina.PlanResult((PLAN, PLAN), ()), "<PlanResult: 2 layers, 600 paths, 87.6 GiB>"),
        (lamina.GCResult(tuple((one.path, 1 << 20) for one in LARGE), (), 3), None),
        (lamina.PushResult(PLAN.paths, (), 7, 1 << 30), "<PushResult: 300 paths sent, 0 signed, 7 present, 1.0 GiB>"),
        (lamina.Digest(bytes(32)), f"Digest('sha256:{'0' * 64}')"),
        (path("a"), f"StorePath('{path('a')}')"),
        (lamina.ImageReference("hello", "1.0"), "ImageReference('hello:1.0')"),
        (lamina.Platform("linux", "arm", "v7"), "Platform('linux/arm/v7')"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_one_short_line(value: object, expected: str | None) -> None:
    text = repr(value)
    assert expected is None or text == expected
    assert len(text) <= 120
    assert "\n" not in text


def test_what_an_image_goes_through_is_one_short_line_each(tmp_path: Path) -> None:
    fetched = lamina.fetch_paths([str(hello())], embedded_store=tmp_path / "store", store=CACHE, trusted_keys=KEY)
    assert repr(fetched) == "<FetchResult: 6 paths, 6 of them fetched>"
    (described,) = lamina.describe_paths(str(hello()), embedded_store=tmp_path / "store")
    assert repr(described).startswith("<StoredPath hello-1.0: closure of 14.5 KiB")
    with lamina.stream_layered_image(contents=str(hello()), tag="1", store=CACHE, trusted_keys=KEY) as stream:
        assert repr(stream) == "<Stream of <Draft hello: 7 layers>>"
        image = stream.build(tmp_path / "hello.tar")
    assert repr(image).startswith("<Image hello:1 sha256:")
    assert repr(image).endswith(": 7 layers, 90.0 KiB>")
    (read,) = lamina.inspect(tmp_path / "hello.tar")
    assert repr(read) == f"<SourceImage hello:1 {image.id[:19]}: {read.platform}, 7 layers>"
    for text in (repr(image.layers[0]), repr(read.layers[0]), repr(fetched.paths[0])):
        assert "licence-1.0" in text
        assert len(text) < 80
