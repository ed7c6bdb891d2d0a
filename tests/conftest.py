"""Options of the whole suite, and cache and data folders of its own."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from types import FrameType

import pytest
from tests.support.examples import choose_profile, is_inner_loop

_FOLDERS = ("XDG_CACHE_HOME", "XDG_DATA_HOME")
# How long a test may take, with its fixtures: several times as long as the slowest takes on a busy machine. A little
# earlier, pytest prints the stacks of all threads (faulthandler_timeout in pyproject.toml).
_TIME_LIMIT_SECONDS = 630
# pytest rewrites the asserts of all test modules, which takes longer than to collect them. Keep the result for the next
# run, even where other programs keep no bytecode.
sys.dont_write_bytecode = False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-tools", action="store_true", help="a missing outside tool is a failure")


def pytest_configure(config: pytest.Config) -> None:
    """No test touches the user's folders, nor does a process that one starts; each of xdist's workers has its own."""
    choose_profile(config.option.markexpr)
    # A shell lets the commands that it starts in the background ignore SIGINT, and every process that a test starts
    # would inherit that: tests of interrupts would wait for processes that never end.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = getattr(config, "workerinput", None)
    if worker:
        for name in _FOLDERS:
            os.environ[name] = os.path.join(os.environ[name], worker["workerid"])
        return
    for name in _FOLDERS:
        folder = tempfile.TemporaryDirectory(
            prefix=f"lamina-test-{name.split('_')[1].lower()}-", ignore_cleanup_errors=True
        )
        os.environ[name] = folder.name
        config.add_cleanup(folder.cleanup)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that hangs, so that the others still run."""
    signal.signal(signal.SIGALRM, _fail_test)
    signal.alarm(_TIME_LIMIT_SECONDS)
    try:
        return (yield)
    finally:
        signal.alarm(0)


def _fail_test(number: int, frame: FrameType | None) -> None:
    pytest.fail(f"the test took longer than {_TIME_LIMIT_SECONDS} seconds")


@pytest.fixture(autouse=True)
def _forget_defaults() -> Iterator[None]:
    """Remove the default store and the default caches after a test, so that the next one finds none."""
    yield
    for name in _FOLDERS:
        folder = os.path.join(os.environ.get(name, os.devnull), "lamina")
        if os.path.isdir(folder):
            shutil.rmtree(folder, ignore_errors=True)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import the tests in ``tests/integration`` if they are deselected."""
    is_integration = collection_path == Path(__file__).parent / "integration"
    return True if is_integration and is_inner_loop(config.option.markexpr) else None


def pytest_collection(session: pytest.Session) -> None:
    """Collect no garbage while the tests are collected: nearly all objects stay."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Exempt the collected tests from garbage collection, which would visit a million objects again and again.

    Refuse tests with an address in their name, because the workers of xdist would collect different ones.
    """
    unstable = [item.nodeid for item in session.items if " at 0x" in item.nodeid]
    if unstable:
        raise pytest.UsageError(f"names of tests contain addresses: {', '.join(unstable)}")
    gc.freeze()
    gc.enable()
