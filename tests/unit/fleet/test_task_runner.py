"""Tasks whose worker or server failed are tried again, and others are not."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from lamina.errors import AuthError, Error, FormatError, NotFound, RegistryError, Unavailable
from lamina.fleet.task_runner import RetryRules, TaskRunner
from lamina.layers.workers import WorkerLost


class Attempts:
    """A task that ends with one of ``outcomes`` after the other, each at once."""

    def __init__(self, *outcomes: object) -> None:
        self._outcomes = list(outcomes)
        self.count = 0

    def __call__(self) -> Future[Any]:
        outcome = self._outcomes[min(self.count, len(self._outcomes) - 1)]
        self.count += 1
        future: Future[Any] = Future()
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
        return future


def run(tasks: dict[str, Callable[[], Future[Any]]], rules: RetryRules) -> tuple[dict[str, Any], list[str]]:
    """Return the result or the error of each task, and the keys of those that were tried again."""
    retried: list[str] = []
    runner: TaskRunner[str] = TaskRunner(rules, lambda key, error: retried.append(key))
    for key, task in tasks.items():
        runner.start(key, task)
    return {key: future.exception() or future.result() for key, future in runner}, retried


AT_ONCE = RetryRules(delays=(0.0,))


def make_transient() -> Error:
    return RegistryError("r", "HTTP 503 5 times in a row", "y", is_transient=True)


def test_a_lost_worker_costs_another_attempt() -> None:
    task = Attempts(WorkerLost("its process ended"), "done")
    assert run({"a": task}, AT_ONCE) == ({"a": "done"}, ["a"])
    assert task.count == 2


@pytest.mark.parametrize(
    "error", [make_transient(), NotFound("s", "x", "y", is_transient=True), WorkerLost("its process ended")]
)
def test_the_third_failure_is_final(error: BaseException) -> None:
    task = Attempts(error)
    ended, retried = run({"a": task}, AT_ONCE)
    assert ended == {"a": error}
    assert (task.count, retried) == (3, ["a", "a"])


def test_the_attempts_of_a_cluster_count_too() -> None:
    task = Attempts(WorkerLost("three workers ended", deaths=3))
    run({"a": task}, AT_ONCE)
    assert task.count == 1


@pytest.mark.parametrize(
    "error",
    [
        *(kind("p", "x", "y") for kind in (NotFound, FormatError, RegistryError, AuthError, Unavailable)),
        ValueError("bug"),
    ],
)
def test_an_error_that_would_come_again_is_final_at_once(error: BaseException) -> None:
    task = Attempts(error)
    assert run({"a": task}, AT_ONCE) == ({"a": error}, [])
    assert task.count == 1


def test_a_server_gets_time_before_it_is_asked_again() -> None:
    task = Attempts(make_transient(), make_transient(), "done")
    began = time.monotonic()
    ended, _ = run({"a": task}, RetryRules(delays=(0.05, 0.1)))
    assert ended == {"a": "done"}
    assert time.monotonic() - began >= 0.15


def test_other_tasks_end_while_one_waits_for_its_next_attempt() -> None:
    runner: TaskRunner[str] = TaskRunner(RetryRules(delays=(0.1,)), lambda key, error: None)
    runner.start("waits", Attempts(make_transient(), "late"))
    runner.start("ends", Attempts("early"))
    assert [key for key, _ in runner] == ["ends", "waits"]


def test_a_task_may_be_started_later() -> None:
    runner: TaskRunner[str] = TaskRunner(AT_ONCE, lambda key, error: None)
    began = time.monotonic()
    runner.start("late", Attempts("done"), 0.05)
    runner.start("early", Attempts("done"))
    assert [key for key, _ in runner] == ["early", "late"]
    assert time.monotonic() - began >= 0.05


def test_the_result_of_a_dropped_task_is_not_given() -> None:
    runner: TaskRunner[str] = TaskRunner(AT_ONCE, lambda key, error: None)
    waiting: Future[str] = Future()
    runner.start("dropped", lambda: waiting)
    runner.start("kept", Attempts("done"))
    runner.drop("dropped")
    assert [key for key, _ in runner] == ["kept"]
    assert waiting.cancelled()


def test_tasks_may_be_started_while_results_are_taken() -> None:
    runner: TaskRunner[int] = TaskRunner(AT_ONCE, lambda key, error: None)
    runner.start(0, Attempts("done"))
    taken = []
    for key, _ in runner:
        taken.append(key)
        if key < 3:
            runner.start(key + 1, Attempts("done"))
    assert taken == [0, 1, 2, 3]
