"""The handler of signals: the first one raises, a second one ends the process at once."""

import signal
import subprocess
import sys

import pytest

from lamina.cli.signals import Interrupted, Signals


def test_the_first_signal_raises_and_is_remembered() -> None:
    handler = Signals("interrupted\n")
    with pytest.raises(Interrupted):
        handler(signal.SIGTERM, None)
    assert handler.received == signal.SIGTERM
    assert handler.exit_code == 143


def test_a_signal_after_the_end_is_ignored() -> None:
    handler = Signals("interrupted\n")
    handler.close()
    handler(signal.SIGINT, None)
    assert handler.received == 0


_RUN = """
import signal, sys
from lamina.cli.signals import Interrupted, Signals
from lamina.system.cleanup import Cleanup
Cleanup(lambda: print("cleaned up", flush=True))
handler = Signals("lamina: interrupted\\n")
signal.signal(signal.SIGHUP, signal.SIG_IGN)
handler.install()
signal.raise_signal(signal.SIGHUP)
class Lost:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
{body}
print("went on")
"""
_TWICE = """
try:
    signal.raise_signal(signal.SIGINT)
except Interrupted:
    signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.parametrize("body", [_TWICE, "Lost()"], ids=["second", "lost"])
def test_a_second_signal_and_one_that_is_lost_clean_up_and_end_the_process(body: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _RUN.replace("{body}", body)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 130, ran.stderr
    assert ran.stdout == "cleaned up\n"
    assert ran.stderr == "lamina: interrupted\n"


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    handler = Signals("interrupted\n")
    handler.install()
    assert isinstance(signal.getsignal(signal.SIGTERM), Signals)
    handler.restore()
    assert signal.getsignal(signal.SIGTERM) is before
