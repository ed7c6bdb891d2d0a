"""The workflows of ``examples/ci`` run as the CI services run them, with a registry that wants a login."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from tests.integration.engines import Engine
from tests.integration.token_server import PASSWORD, USER
from tests.integration.tools import require
from tests.support.guides import GUIDES, Machine, list_blocks, prepare_machine, write_docker_command
from tests.support.paths import EXAMPLES, REPOSITORY

FOLDER = EXAMPLES / "ci"
(GUIDE,) = (page for page in GUIDES if page.stem == "ci")
REVISION = "0123456789abcdef0123456789abcdef01234567"
_EXPRESSION = re.compile(r"\$\{\{ (.+?) \}\}")


def read_workflow(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return loaded


def test_the_guide_shows_the_workflows() -> None:
    shown = [block.text for block in list_blocks(GUIDE) if block.language == "yaml"]
    assert shown == [(FOLDER / f"{name}.yml").read_text(encoding="utf-8") for name in ("github-actions", "gitlab-ci")]


# --- a runner


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel of lamina, in the place of a package index."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return folder


@dataclass
class Runner:
    """A fresh machine of a CI service: a checkout, a Python that has no lamina, and variables."""

    machine: Machine
    python: Path
    home: Path
    variables: dict[str, str]
    ran: list[str] = field(default_factory=list)

    @property
    def checkout(self) -> Path:
        return self.machine.folder

    def run(self, script: str, shell: Sequence[str], variables: Mapping[str, str]) -> str:
        given = {**os.environ, **self.variables, **variables}
        path = os.pathsep.join([str(self.python), str(self.checkout / "bin"), os.environ["PATH"]])
        done = subprocess.run(
            [*shell, script],
            cwd=self.checkout,
            env={**given, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        self.ran.append(done.stderr)
        return done.stdout


def make_python(folder: Path) -> Path:
    """Return the programs of a new Python that has everything that lamina needs, and not lamina."""
    subprocess.run([sys.executable, "-m", "venv", folder / "python"], check=True, capture_output=True)
    packages = folder / "packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "lamina" not in entry.name and not entry.name.startswith(("pip", "setuptools")):
            (packages / entry.name).symlink_to(entry)
    (site,) = (folder / "python/lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(f"{packages}\n")
    return folder / "python/bin"


@pytest.fixture
def runner(wheels: Path, tmp_path: Path, own_docker: Engine, registry: str, password_registry: str) -> Runner:
    """A runner with the checkout that the guide describes; lamina.lock was made by its author."""
    (tmp_path / "checkout").mkdir()
    machine = prepare_machine(tmp_path / "checkout", registry, Path(require("busybox")), has_packages=False)
    write_docker_command(machine.folder, own_docker.command)
    blocks = list_blocks(GUIDE)
    last = next(number for number, block in enumerate(blocks) if "lamina lock" in block.text)
    machine.run(blocks[: last + 1])
    shutil.copytree(wheels, machine.folder / "wheels")
    for name in ("home", "checkout/logins"):
        (tmp_path / name).mkdir()
    variables = {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "checkout/logins"),
        "PIP_NO_INDEX": "1",
    }
    return Runner(machine, make_python(tmp_path), tmp_path / "home", variables)


def check_image(runner: Runner, reference: str) -> None:
    """Check that the image is in the registry, with its annotations and the two documents."""
    shown = runner.run(f"lamina inspect --attached --json {reference}", ("bash", "-c"), {})
    (image,) = json.loads(shown)["images"]
    assert image["annotations"]["org.opencontainers.image.revision"] == REVISION
    assert len(image["attached"]) == 2


# --- GitHub


def evaluate(text: str, values: Mapping[str, str]) -> str:
    """Return ``text`` with the values of its ``${{ … }}``."""
    return _EXPRESSION.sub(lambda found: values[found[1]], text)


def run_github_job(runner: Runner, name: str, values: dict[str, str], host: str) -> dict[str, str]:
    """Run the steps of a job, and return its outputs; steps with ``uses`` are programs of GitHub."""
    workflow = read_workflow("github-actions.yml")
    assert workflow["defaults"]["run"]["shell"] == "bash"
    job = workflow["jobs"][name]
    outputs = runner.checkout / "outputs.txt"
    for step in job["steps"]:
        if "run" in step:
            outputs.write_text("")
            given = {**workflow["env"], **job.get("env", {}), **step.get("env", {})}
            variables = {key: evaluate(value, values) for key, value in given.items()}
            shell = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")  # as GitHub documents it
            runner.run(step["run"].replace("ghcr.io", host), shell, {**variables, "GITHUB_OUTPUT": str(outputs)})
            for line in outputs.read_text().splitlines():
                key, _, value = line.partition("=")
                values[f"steps.{step['id']}.outputs.{key}"] = value
        else:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
    return {key: evaluate(value, values) for key, value in job.get("outputs", {}).items()}


def test_the_workflow_of_github_pushes_an_image(runner: Runner, password_registry: str) -> None:
    """A second run, on a fresh machine without a cache, downloads no store path and sends nothing."""
    runner.variables |= {
        "GITHUB_ACTOR": USER,
        "GITHUB_REPOSITORY": "Me/GitHub-App",
        "GITHUB_SHA": REVISION,
        "GITHUB_SERVER_URL": "https://github.com",
    }
    outputs = run_github_job(runner, "image", {"secrets.GITHUB_TOKEN": PASSWORD}, password_registry)
    assert outputs["image"].startswith(f"{password_registry}/me/github-app:{REVISION}@sha256:")
    check_image(runner, outputs["image"])
    run_github_job(runner, "deploy", {"needs.image.outputs.image": outputs["image"]}, password_registry)

    shutil.rmtree(runner.home)
    runner.home.mkdir()
    assert run_github_job(runner, "image", {"secrets.GITHUB_TOKEN": PASSWORD}, password_registry) == outputs
    assert "  0 of 8 blobs sent" in runner.ran[-1]
    assert list(runner.home.rglob("*.nar")) == []


# --- GitLab


def expand(text: str, values: Mapping[str, str]) -> str:
    """Return ``text`` with the values of variables, as GitLab expands those of a job."""
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], text)


def run_gitlab_job(runner: Runner, name: str, values: Mapping[str, str]) -> None:
    """Run the scripts of a job, which are one shell script, as GitLab documents it."""
    workflow = read_workflow("gitlab-ci.yml")
    job = workflow[name]
    given = {**workflow["variables"], **job.get("variables", {})}
    variables = {key: expand(value, values) for key, value in given.items()}
    script = "\n".join([*job.get("before_script", ()), *job["script"]])
    runner.run(script, ("bash", "-eo", "pipefail", "-c"), {**values, **variables})


def test_the_workflow_of_gitlab_pushes_an_image(runner: Runner, password_registry: str) -> None:
    values = {
        "CI_COMMIT_SHA": REVISION,
        "CI_PROJECT_DIR": str(runner.checkout),
        "CI_PROJECT_URL": "https://gitlab.com/group/project",
        "CI_REGISTRY": password_registry,
        "CI_REGISTRY_IMAGE": f"{password_registry}/group/project",
        "CI_REGISTRY_USER": USER,
        "CI_REGISTRY_PASSWORD": PASSWORD,
    }
    run_gitlab_job(runner, "image", values)
    job = read_workflow("gitlab-ci.yml")["image"]
    name, _, reference = (runner.checkout / job["artifacts"]["reports"]["dotenv"]).read_text().strip().partition("=")
    assert reference.startswith(f"{password_registry}/group/project:{REVISION}@sha256:")
    for cached in job["cache"]["paths"]:
        assert any((runner.checkout / cached).iterdir())
    (login,) = runner.checkout.glob("logins/*/config.json")
    runner.variables["DOCKER_CONFIG"] = str(login.parent)
    check_image(runner, reference)
    run_gitlab_job(runner, "deploy", {**values, name: reference})
