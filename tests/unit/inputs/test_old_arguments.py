"""Old names of arguments."""

import pytest

from lamina.errors import InvalidArgument
from lamina.inputs.old_arguments import rename_old_arguments

NAMES = {"ledger": "layer_cache"}


def test_an_old_name_means_the_new_one() -> None:
    assert rename_old_arguments({"ledger": 1, "tag": "x"}, NAMES) == {"layer_cache": 1, "tag": "x"}
    assert rename_old_arguments({"layer_cache": 1}, NAMES) == {"layer_cache": 1}


def test_both_names_together_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="ledger: got it and layer_cache, expected only one"):
        rename_old_arguments({"ledger": 1, "layer_cache": 2}, NAMES)
