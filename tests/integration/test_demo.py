"""``script/demo``, the first command of the README, builds its image and runs it without an engine."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.example_store import write_command
from tests.support.paths import EXAMPLES, REPOSITORY


def _write_script(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


def test_the_demo_runs(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    _write_script(checkout / "script/environment", "#!/bin/sh\n")
    shutil.copy(REPOSITORY / "script/demo", checkout / "script")
    (checkout / "examples").symlink_to(EXAMPLES)
    _write_script(checkout / ".venv/bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    write_command(checkout / ".venv/bin/lamina", tmp_path / "machine")
    for engine in ("docker", "podman"):
        _write_script(tmp_path / "bin" / engine, "#!/bin/sh\nexit 1\n")
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [checkout / "script/demo"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert done.returncode == 0, done.stdout.decode()
    output = done.stdout.decode()
    assert "Hello, world!\n" in output or "the program is" in output
    assert output.endswith("== done\n")
