"""Actions that remove what was created, at the latest when the process ends."""

import os
import subprocess
import sys

import pytest

from lamina.system import cleanup
from lamina.system.cleanup import Cleanup, close_with, create


class _Owner:
    """Anything that is closed."""


def test_an_action_runs_once_and_not_after_it_was_cancelled() -> None:
    ran: list[int] = []
    first, second = Cleanup(lambda: ran.append(1)), Cleanup(lambda: ran.append(2))
    first.run()
    first.run()
    second.cancel()
    second.run()
    assert ran == [1]


def test_an_action_that_fails_stays_registered() -> None:
    tries: list[int] = []

    def fail_once() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise PermissionError

    action = Cleanup(fail_once)
    with pytest.raises(PermissionError):
        action.run()
    action.run()
    action.run()
    assert len(tries) == 2


def test_what_could_not_be_made_is_undone_unless_it_belongs_to_another_process() -> None:
    undone: list[str] = []

    def fail(error: type[Exception]) -> None:
        raise error

    with pytest.raises(KeyError):
        create(lambda: fail(KeyError), lambda: undone.append("half made"))
    with pytest.raises(FileExistsError):
        create(lambda: fail(FileExistsError), lambda: undone.append("of another process"))
    assert undone == ["half made"]


_PROGRAM = """
import os
from lamina.system.cleanup import Cleanup, create
made, _ = create(lambda: 5, lambda: print("first", made, flush=True))
Cleanup(lambda: print("second", flush=True))
Cleanup(lambda: os.stat("/nothing there"))
if not os.fork():
    raise SystemExit
os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_end_of_the_process_runs_all_actions_the_latest_first_and_that_of_a_child_none() -> None:
    ran = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["second", "first 5"]


def test_nothing_is_created_when_the_process_is_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "_actions", {})
    monkeypatch.setattr(cleanup, "_is_exiting", False)
    ran: list[int] = []
    Cleanup(lambda: ran.append(1))
    cleanup.run_all()
    assert ran == [1]
    with pytest.raises(InterruptedError):
        create(lambda: ran.append(2), lambda: None)
    assert ran == [1]


def test_an_owner_is_closed_once_by_hand_or_when_nothing_refers_to_it() -> None:
    closed: list[str] = []
    first, second = _Owner(), _Owner()
    close = close_with(first, lambda: closed.append("first"))
    close_with(second, lambda: closed.append("second"))
    close()
    close()
    assert closed == ["first"]
    del first, second
    assert closed == ["first", "second"]
