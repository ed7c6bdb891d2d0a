"""Locks of an embedded store: many may read it, one may clean it up, and one receives a NAR."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from lamina.core.names import Digest, dump_nix32
from lamina.errors import Unavailable
from lamina.stores.embedded.locks import Locks

_TRY = """
import sys
from pathlib import Path
from lamina.errors import Unavailable
from lamina.stores.embedded.locks import Locks
locks = Locks(Path(sys.argv[1]))
try:
    with locks.hold_exclusive():
        print("exclusive")
except Unavailable:
    print("in use")
"""


def try_exclusive(folder: Path) -> str:
    ran = subprocess.run([sys.executable, "-c", _TRY, str(folder)], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "store/.lamina"
    found.mkdir(parents=True)
    return found


def test_another_process_may_not_clean_up_a_store_in_use(folder: Path) -> None:
    locks = Locks(folder)
    locks.hold_shared()
    locks.hold_shared()
    assert try_exclusive(folder) == "in use"
    locks.close()
    assert try_exclusive(folder) == "exclusive"


def test_readers_share_a_store_and_keep_out_whoever_cleans_it_up(folder: Path) -> None:
    one, two = Locks(folder), Locks(folder)
    one.hold_shared()
    two.hold_shared()
    with pytest.raises(Unavailable), Locks(folder).hold_exclusive():
        pass
    one.close()
    two.close()
    with Locks(folder).hold_exclusive():
        assert try_exclusive(folder) == "in use"


_INTERRUPTED = """
import itertools, sys
from pathlib import Path
from lamina.stores.embedded import locks

def interrupt(at):
    lines = itertools.count(1)
    def trace(frame, event, argument):
        if frame.f_code.co_filename == locks.__file__:
            if event == "line" and next(lines) == at:
                raise KeyboardInterrupt
            return trace
    return trace

for at in range(1, 20):
    held = locks.Locks(Path(sys.argv[1]))
    sys.settrace(interrupt(at))
    try:
        held.hold_shared()
    except KeyboardInterrupt:
        pass
    sys.settrace(None)
    held.close()
print("done")
"""


def test_an_interrupt_at_any_line_leaves_no_lock_that_closing_waits_for(folder: Path) -> None:
    command = [sys.executable, "-c", _INTERRUPTED, str(folder)]
    assert subprocess.run(command, capture_output=True, check=True, timeout=60).stdout == b"done\n"


def test_a_nar_is_received_by_one_at_a_time(folder: Path) -> None:
    locks, nars = Locks(folder), [Digest(sha256(name).digest()) for name in (b"A", b"B")]
    with locks.lock_nar(nars[0]), locks.lock_nar(nars[1]):
        assert sorted(file.name for file in (folder / "fetching").iterdir()) == sorted(
            f"{dump_nix32(nar.raw)}.lock" for nar in nars
        )
    with locks.lock_nar(nars[0]):
        pass
