"""The start of the command line."""

import gc
from collections.abc import Iterator

import pytest

from lamina.cli import main, plan
from lamina.errors import InvalidArgument


@pytest.fixture(autouse=True)
def _frozen_objects() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_garbage_is_collected_while_a_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    enabled: list[bool] = []
    monkeypatch.setattr(plan.command, "callback", lambda **_: enabled.append(gc.isenabled()))
    main._run(["plan"])
    assert enabled == [True]


def test_garbage_is_collected_after_a_usage_error() -> None:
    with pytest.raises(InvalidArgument, match=r"^usage: got verb 'paln', expected one of "):
        main._run(["paln"])
    assert gc.isenabled()
