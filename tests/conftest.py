"""Options of the whole suite, and a cache folder of its own."""

import os
import tempfile

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-tools", action="store_true", help="a missing outside tool is a failure")


def pytest_configure(config: pytest.Config) -> None:
    """No test touches the user's cache, nor does a process that one starts; each of xdist's workers has its own."""
    worker = getattr(config, "workerinput", None)
    if worker:
        os.environ["XDG_CACHE_HOME"] = os.path.join(os.environ["XDG_CACHE_HOME"], worker["workerid"])
        return
    cache = tempfile.TemporaryDirectory(prefix="lamina-test-cache-", ignore_cleanup_errors=True)
    os.environ["XDG_CACHE_HOME"] = cache.name
    config.add_cleanup(cache.cleanup)
