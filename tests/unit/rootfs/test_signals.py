"""Signals that arrive while a process is begun: their handlers run once it is known."""

from __future__ import annotations

import signal
from types import FrameType

import pytest

from lamina.rootfs.signals import defer_signals


class Arrived(Exception):
    """A handler has run."""


def raise_it(number: int, frame: FrameType | None) -> None:
    raise Arrived


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_handler_runs_after_the_block_and_is_back_in_its_place(number: signal.Signals) -> None:
    done = []

    def begin() -> None:
        with defer_signals():
            signal.raise_signal(number)
            done.append(number)

    previous = signal.signal(number, raise_it)
    try:
        with pytest.raises(Arrived):
            begin()
        assert done == [number]
        assert signal.getsignal(number) is raise_it
    finally:
        signal.signal(number, previous)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with defer_signals():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, previous)
