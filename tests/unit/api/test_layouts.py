"""The arguments of `lamina.prune_layout`."""

from pathlib import Path
from typing import Any

import pytest

import lamina


@pytest.mark.parametrize("keep_last", [0, -1, True, "5", 1.0])
def test_the_number_of_tags_is_at_least_one(keep_last: Any, tmp_path: Path) -> None:
    with pytest.raises(lamina.InvalidArgument, match=r"^keep_last: .*at least 1$"):
        lamina.prune_layout(tmp_path, keep_last=keep_last)


def test_a_layout_is_named() -> None:
    for value in (None, ""):
        with pytest.raises(lamina.InvalidArgument, match=r"^layout: "):
            lamina.prune_layout(value)  # type: ignore[arg-type]
