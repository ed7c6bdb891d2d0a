"""Laws of the arguments of an image."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples

from lamina.errors import FormatError, InputError, InvalidArgument, NotFound, PlanError
from lamina.formats.container_config import FIELDS
from lamina.formats.docker import MAX_LAYERS
from lamina.formats.tar import Member, PaxHeaders, TypeFlag
from lamina.inputs.arguments import ImageArguments
from lamina.inputs.spec import Spec
from lamina.inputs.specfile import load

VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.binary(max_size=3),
        st.dates(),
        st.sampled_from(["now", "auto", "/a=b", "/a:0755", "dir", "Cmd", "User"]),
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(["dir", "Cmd", "Env", "User", "X"]), st.text()), values, max_size=3),
        st.tuples(values),
        st.frozensets(st.integers()),
    ),
    max_leaves=6,
)


def check(arguments: Mapping[str, Any]) -> None:
    """Check that arguments are refused, or are valid for every document and header made from them."""
    try:
        spec = Spec.parse(arguments)
    except InvalidArgument:
        return
    except PlanError:
        assert arguments.get("max_layers", 1) < 1 or not 0 <= arguments["reserve"] <= MAX_LAYERS - 2
        return
    except (InputError, NotFound, FormatError):
        assert {"layering", "rates"} & arguments.keys()
        return
    json.dumps(spec.config, allow_nan=False)
    PaxHeaders(spec.owner, 1).make_header(Member(b"a", TypeFlag.FILE, 0o444))
    os.fsencode(spec.extra_commands + spec.search_path + "".join(spec.contents))


@given(st.dictionaries(st.sampled_from(sorted(ImageArguments.__annotations__)), VALUES, max_size=3))
@examples(200)
def test_any_arguments_are_refused_or_make_a_spec(arguments: dict[str, Any]) -> None:
    """Invalid arguments raise `InvalidArgument`; only a file named by `layering` may raise other errors."""
    check(arguments)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), VALUES, max_size=3))
@examples(200)
def test_any_config_is_refused_or_can_be_written(config: dict[str, Any]) -> None:
    """Every value of a `Spec` has been checked."""
    check({"config": config})


@given(
    st.dictionaries(st.sampled_from(["tag", "maxLayers", "max_layers", "store", "tree", "config", "uid", "x"]), VALUES)
)
@examples(200)
def test_any_file_is_refused_or_makes_a_spec(table: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lamina.json"
        file.write_text(json.dumps({"image": table}, default=str, skipkeys=True), encoding="utf-8")
        try:
            arguments = load(str(file)).arguments
        except InvalidArgument:
            return
        check(arguments)
