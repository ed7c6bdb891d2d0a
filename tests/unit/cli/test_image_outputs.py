"""Where ``lamina build`` writes the images of a spec file."""

from pathlib import Path

import pytest

from lamina.cli.image_outputs import choose_outputs
from lamina.errors import InvalidArgument


def test_one_image_goes_where_the_output_says() -> None:
    assert choose_outputs("-", [""]) == {"": "-"}
    assert choose_outputs("x.tar", ["hello"]) == {"hello": "x.tar"}
    assert choose_outputs("{name}.tar", [""]) == {"": "{name}.tar"}


def test_several_images_go_to_one_layout_or_to_files_of_their_names(tmp_path: Path) -> None:
    for layout in ("images/", str(tmp_path)):
        assert choose_outputs(layout, ["a", "b"]) == {"a": layout, "b": layout}
    assert choose_outputs("out/{name}.tar.gz", ["a", "b"]) == {"a": "out/a.tar.gz", "b": "out/b.tar.gz"}
    assert choose_outputs("{name}/{name}/", ["a", "b"]) == {"a": "a/a/", "b": "b/b/"}
    assert choose_outputs("{name}.tar", ["a"]) == {"a": "a.tar"}


@pytest.mark.parametrize("output", ["-", "x.tar"])
def test_several_images_do_not_fit_into_one_file(output: str) -> None:
    with pytest.raises(
        InvalidArgument, match=f"got '{output}' for 2 images, expected a folder that ends in /"
    ) as caught:
        choose_outputs(output, ["a", "b"])
    assert "{name}" in caught.value.hint


@pytest.mark.parametrize("table", ["..", ".", "a/b", "a\0"])
def test_the_name_of_a_table_does_not_lead_elsewhere(table: str) -> None:
    with pytest.raises(InvalidArgument, match="expected a name without /"):
        choose_outputs("out/{name}/", ["a", table])
    assert choose_outputs("out/", ["a", table]) == {"a": "out/", table: "out/"}
