"""The registry that the tests of its images read from."""

from collections.abc import Iterator

import pytest
from tests.support.registry import MemoryRegistry, serve_registry


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    with serve_registry() as server:
        yield server
