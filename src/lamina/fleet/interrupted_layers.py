"""The layers whose workers were killed because the batch ended with an error: their claims are removed by the batch.

Otherwise the same batch, run again at once, would wait until the claims end by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from lamina.fleet.layer_task import LayerTask
from lamina.layer_cache.cache import LayerCache

_P = ParamSpec("_P")
_T = TypeVar("_T")


class WatchedExecutor(Executor):
    """Passes calls to another executor, and notices the layers whose worker was killed by the end of the batch.

    Args:
        executor: the other executor. The futures of calls that it kills raise `InterruptedError`.
        interrupted: receives the tasks of these layers.
    """

    def __init__(self, executor: Executor, interrupted: list[LayerTask]) -> None:
        self._executor = executor
        self._interrupted = interrupted

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Call ``fn`` as the other executor does."""
        future = self._executor.submit(fn, *args, **kwargs)
        for task in args:
            if isinstance(task, LayerTask):
                future.add_done_callback(partial(self._end, task))
        return future

    def _end(self, task: LayerTask, future: Future[_T]) -> None:
        if not future.cancelled() and isinstance(future.exception(), InterruptedError):
            self._interrupted.append(task)


@contextmanager
def release_interrupted(layer_cache: LayerCache) -> Iterator[list[LayerTask]]:
    """Give a list for a `WatchedExecutor`. When the block has ended, remove the claims of the tasks in the list.

    The workers must have ended with the block.
    """
    interrupted: list[LayerTask] = []
    try:
        yield interrupted
    finally:
        for task in interrupted:
            layer_cache.release(task.claim_key, task.batch)
