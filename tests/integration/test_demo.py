"""``script/demo``, the first command of the README: what it says about an update is what a registry receives."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.engines import Engine
from tests.support.example_store import write_command
from tests.support.paths import EXAMPLES, REPOSITORY
from tests.support.registry import MemoryRegistry
from tests.support.servers import run_server

from lamina.messages.sizes import format_size


def _write_script(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with an environment that is made already, in a folder where neither docker nor podman works."""
    checkout = tmp_path / "a checkout"
    _write_script(checkout / "script/environment", "#!/bin/sh\n")
    for name in ("demo", "demo_session.py"):
        shutil.copy(REPOSITORY / "script" / name, checkout / "script")
    (checkout / "examples").symlink_to(EXAMPLES)
    _write_script(checkout / ".venv/bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    write_command(checkout / ".venv/bin/lamina", tmp_path / "machine")
    for engine in ("docker", "podman"):
        _write_script(tmp_path / "bin" / engine, "#!/bin/sh\nexit 1\n")
    return checkout


def _start_demo(checkout: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the demo; its temporary folder and its home are below the parent of the checkout."""
    folder = checkout.parent
    variables = {"PATH": f"{folder / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"}
    for name, place in (("TMPDIR", folder / "temporary files"), ("HOME", folder / "HOME")):
        place.mkdir()
        variables[name] = str(place)
    command = [str(checkout / "script/demo"), *arguments]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _run_demo(checkout: Path, *arguments: str, status: int = 0) -> str:
    """Return what the demo prints, and check that it leaves nothing."""
    with _start_demo(checkout, *arguments) as process:
        output = process.communicate()[0]
    assert process.returncode == status, output
    _check_nothing_is_left(checkout)
    return output


def _check_nothing_is_left(checkout: Path) -> None:
    folder = checkout.parent
    assert [*(folder / "temporary files").iterdir(), *(folder / "HOME").iterdir()] == []


def _read_figures(output: str) -> dict[str, tuple[str, str]]:
    """Return the figure and the remark of each line in the table at the end."""
    table = output.rpartition("\n\n")[2].splitlines()
    rows = [re.split(r"  +", line, maxsplit=2) for line in table]
    return {row[0]: (row[1], row[2] if len(row) > 2 else "") for row in rows}


def test_the_demo_runs_both_versions_and_leaves_nothing(checkout: Path) -> None:
    output = _run_demo(checkout)
    for tag in (1, 2):
        assert f"Hello from version {tag}, world!\n" in output or "cannot change the root" in output
    states = re.findall(r"^layer \d/9  (\S+).*  (\w+)$", output, re.MULTILINE)
    assert [state for _, state in states[:9]] == ["packed"] * 9
    packed = {name for name, state in states[9:] if state == "packed"}
    assert packed == {"app-1.0", "customisation"}
    figures = _read_figures(output)
    assert list(figures) == [
        "This update sends",
        "The whole image",
        "One layer of all files",
        "The first build",
        "The second build",
    ]
    assert all(float(figures[f"The {name} build"][0].removesuffix(" s")) > 0 for name in ("first", "second"))


def test_the_demo_runs_both_versions_in_docker(checkout: Path, own_docker: Engine) -> None:
    variables = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in own_docker.environment.items())
    program = checkout.parent / "bin/docker"
    _write_script(program, f'#!/bin/sh\n{variables}exec {shlex.join(own_docker.command)} "$@"\n')
    before = own_docker.images()
    output = _run_demo(checkout)
    for tag in (1, 2):
        run = f"$ docker run --rm --pull never --network none localhost/lamina-demo:{tag}\n"
        assert f"{run}Hello from version {tag}, world!\n" in output
    assert own_docker.images() == before


def test_the_demo_says_what_a_registry_receives(checkout: Path) -> None:
    with run_server(MemoryRegistry()) as registry:
        output = _run_demo(checkout, "--to", f"{registry.host}/me/demo", "--insecure")
    manifests = registry.manifests["me/demo"]
    assert {"1", "2"} < set(manifests)
    paths = [str(request) for request in registry.seen]
    pushed = paths.index("PUT /v2/me/demo/manifests/1")
    first, update = (
        sum(request.size for request in part) for part in (registry.seen[: pushed + 1], registry.seen[pushed + 1 :])
    )
    figures = _read_figures(output)
    assert figures["This update sends"] == (format_size(update), "2 of 9 layers, the config and the manifest")
    size, times = figures["The whole image"]
    assert size == format_size(first)
    assert times == f"{first // update:,} times as much"
    single, remark = figures["One layer of all files"]
    assert remark.endswith(" times as much: what one COPY sends")
    assert 100 * update < int(remark.split()[0].replace(",", "")) * update < first
    assert single.split()[1] == size.split()[1] == "MiB"


def test_the_demo_names_the_command_that_failed(checkout: Path) -> None:
    output = _run_demo(checkout, "--to", "127.0.0.1:9/me/demo", "--insecure", status=1)
    last = output.splitlines()[-1]
    assert re.fullmatch(r"script/demo: .*lamina push images/#app:1 .*: got exit status \d+, expected 0", last)
    assert "Traceback" not in output


def test_a_demo_that_is_ended_leaves_nothing(checkout: Path) -> None:
    with _start_demo(checkout) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("$ library="):
                process.terminate()
                break
        # The pipe ends with the last process that has it, so nothing runs any more.
        process.stdout.read()
    assert process.returncode == 143
    _check_nothing_is_left(checkout)
