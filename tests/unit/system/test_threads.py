"""A pool of threads: results, errors, order, and that no thread is left."""

import subprocess
import sys
import threading
from concurrent.futures import CancelledError, Future
from functools import partial
from threading import Event

import pytest

from lamina.system.threads import ThreadPool


def _raise(error: BaseException) -> None:
    raise error


def test_all_tasks_have_run_when_the_block_ends() -> None:
    before = threading.active_count()
    done: list[int] = []
    with ThreadPool(3, "some") as pool:
        for number in range(20):
            pool.submit(partial(done.append, number))
        assert threading.active_count() <= before + 3
    assert sorted(done) == list(range(20))
    assert threading.active_count() == before


def test_the_threads_have_the_name_of_the_pool() -> None:
    with ThreadPool(1, "lamina-some") as pool:
        assert pool.submit(lambda: threading.current_thread().name).result() == "lamina-some"


def test_tasks_run_by_priority_and_then_by_age() -> None:
    done: list[int] = []
    gate = Event()
    with ThreadPool(1, "some") as pool:
        pool.submit(gate.wait)
        for number, priority in enumerate([(1, 5), (1, -9), (0, 3), (1, 5), (0, 3)]):
            pool.submit(partial(done.append, number), priority)
        gate.set()
    assert done == [2, 4, 1, 0, 3]


def test_map_returns_results_in_order_and_raises_the_first_error() -> None:
    with ThreadPool(4, "some") as pool:
        assert pool.map(lambda number: number * 2, range(50)) == list(range(0, 100, 2))
        with pytest.raises(ZeroDivisionError):
            pool.map(lambda number: 1 // number, [1, 0, 2])
        assert pool.submit(lambda: 1).result() == 1, "an error in a task leaves the pool usable"


def test_an_error_in_the_block_waits_for_the_running_task_and_drops_the_others() -> None:
    is_running, gate = Event(), Event()
    done: list[str] = []
    futures: list[Future[None]] = []

    def run() -> None:
        is_running.set()
        gate.wait()
        done.append("first")

    with pytest.raises(KeyError), ThreadPool(1, "some") as pool:  # noqa: PT012
        futures += [pool.submit(run), pool.submit(partial(done.append, "second"))]
        is_running.wait()
        threading.Timer(0.01, gate.set).start()
        raise KeyError
    assert done == ["first"]
    assert futures[0].result() is None
    with pytest.raises(CancelledError):
        futures[1].result()


def test_an_interrupt_does_not_wait_for_a_task_that_hangs() -> None:
    gate = Event()
    with pytest.raises(KeyboardInterrupt), ThreadPool(1, "some") as pool:  # noqa: PT012
        running = pool.submit(gate.wait)
        raise KeyboardInterrupt
    assert not running.done()
    gate.set()
    assert running.result()


def test_a_cancelled_task_does_not_run() -> None:
    gate = Event()
    done: list[int] = []
    with ThreadPool(1, "some") as pool:
        pool.submit(gate.wait)
        assert pool.submit(partial(done.append, 1)).cancel()
        gate.set()
    assert done == []


def test_a_task_that_is_interrupted_hands_its_error_on() -> None:
    with ThreadPool(1, "some") as pool:
        future = pool.submit(partial(_raise, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            future.result()


def test_fewer_threads_than_wanted_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, list[threading.Thread]()

    def start_one(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    with ThreadPool(4, "some") as pool:
        assert pool.map(str, range(9)) == [str(number) for number in range(9)]
    with pytest.raises(RuntimeError, match="can't start new thread"), ThreadPool(4, "some") as other:
        other.submit(lambda: None)


def test_the_process_ends_while_a_task_hangs() -> None:
    code = (
        "import threading\nfrom lamina.system.threads import ThreadPool\n"
        "pool = ThreadPool(1, 'some')\npool.submit(threading.Event().wait)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_closed_pool_takes_no_task() -> None:
    with ThreadPool(1, "some") as pool:
        pool.submit(lambda: None)
    with pytest.raises(RuntimeError, match="expected none after the pool was closed"):
        pool.submit(lambda: None)


def test_a_task_may_close_its_pool() -> None:
    with ThreadPool(1, "some") as pool:
        assert pool.submit(pool.close).result() is None
