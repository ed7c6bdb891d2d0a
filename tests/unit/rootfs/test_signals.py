"""Signals that arrive while a process is started: their handlers run after the start."""

from __future__ import annotations

import signal
from types import FrameType

import pytest

from lamina.rootfs.signals import defer_signals


class HandlerRan(Exception):
    """Raised by a signal handler, to show that it has run."""


def raise_from_handler(number: int, frame: FrameType | None) -> None:
    raise HandlerRan


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_handler_runs_after_the_block_and_is_installed_again(number: signal.Signals) -> None:
    blocks_finished = []

    def start() -> None:
        with defer_signals():
            signal.raise_signal(number)
            blocks_finished.append(number)

    previous = signal.signal(number, raise_from_handler)
    try:
        with pytest.raises(HandlerRan):
            start()
        assert blocks_finished == [number]
        assert signal.getsignal(number) is raise_from_handler
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
