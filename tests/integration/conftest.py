"""Fixtures for the outside tools: each starts once, when a test first asks for it, and ends with the run.

Every test of this folder has the marker `integration`.

Read from the environment, all optional:
  LAMINA_REQUIRE_TOOLS=1    as --require-tools: a missing tool is a failure
  LAMINA_TEST_DOCKER_HOSTS  DOCKER_HOST values of dockerds that already run, for `docker` and `engine` too
  LAMINA_TEST_NIX           in each line, what to put before `nix`, `nix-store` … for another Nix on this store
  LAMINA_TEST_ROOTS         store paths for `extra_roots`
"""

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.integration import closures, engines, tools
from tests.integration import expressions as tests_nix
from tests.integration.closures import Nix, Sample
from tests.integration.engines import Containerd, Engine, Skopeo
from tests.integration.expressions import Expressions

DOCKER_HOSTS = os.environ.get("LAMINA_TEST_DOCKER_HOSTS", "").split()
NIX_PREFIXES = list(filter(None, map(shlex.split, os.environ.get("LAMINA_TEST_NIX", "").splitlines())))
EXTRA_ROOTS = os.environ.get("LAMINA_TEST_ROOTS", "").split()


def pytest_addoption(parser: pytest.Parser) -> None:
    with suppress(ValueError):  # a conftest.py further up, which pytest reads in time for every call, may have it
        parser.addoption("--require-tools", action="store_true", help="a missing outside tool is a failure")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--require-tools", default=False):
        os.environ[tools.REQUIRE] = "1"  # workers of pytest-xdist inherit it


@pytest.hookimpl(tryfirst=True)  # before pytest looks at -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    for item in items:  # of the whole run, whatever folder they are in
        if item.path.is_relative_to(folder):
            item.add_marker("integration")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    outcomes = map(terminalreporter.getreports, ("skipped", "failed", "error"))
    missing = tools.tally(_reason(report) for reports in outcomes for report in reports)
    if missing:
        terminalreporter.section("outside tools")
        for what, tests in sorted(missing.items()):
            terminalreporter.line(f"{what}: {tests} {'test' if tests == 1 else 'tests'} could not run")
        terminalreporter.line("script/install-tools installs them all (Debian, Ubuntu; as root)")


def _reason(report: object) -> str:
    """Why a test was skipped or failed: of a skip, pytest keeps file, line and reason."""
    longrepr = getattr(report, "longrepr", None)
    return str(longrepr[2] if isinstance(longrepr, tuple) else longrepr)


@contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder whose path is short enough for unix sockets (107 bytes), with what is put in it."""
    base = tempfile.gettempdir()
    made = Path(tempfile.mkdtemp(prefix="lamina-", dir=base if len(base) < 40 else "/tmp"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.fixture(scope="session")
def own_docker() -> Iterator[Engine]:
    """The dockerd of this machine."""
    with folder() as here, engines.dockerd(here) as engine:
        yield engine


@pytest.fixture(scope="session")
def podman() -> Iterator[Engine]:
    with folder() as here, engines.podman(here) as engine:
        yield engine


_DOCKERS = ["docker", *DOCKER_HOSTS]
_ENGINES = ["podman", *_DOCKERS]


@pytest.fixture(scope="session", params=_DOCKERS, ids=engines.docker_name)
def docker(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each dockerd: the machine's own, started here, and those of LAMINA_TEST_DOCKER_HOSTS."""
    yield from _engine(request)


@pytest.fixture(scope="session", params=_ENGINES, ids=engines.docker_name)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine: podman, and every `docker`."""
    yield from _engine(request)


def _engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    fixture = {"podman": "podman", "docker": "own_docker"}.get(request.param)
    if fixture is not None:
        yield request.getfixturevalue(fixture)
    else:
        with folder() as here:
            yield engines.attached_docker(request.param, here)


@pytest.fixture(scope="session")
def skopeo() -> Iterator[Skopeo]:
    with folder() as here:
        yield engines.skopeo(here)


@pytest.fixture(scope="session")
def containerd() -> Iterator[Containerd]:
    with folder() as here, engines.containerd(here) as server:
        yield server


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """The address of a real registry: 127.0.0.1:PORT, plain HTTP, no login."""
    with folder() as here, engines.registry(here) as address:
        yield address


@pytest.fixture(scope="session")
def nix() -> Nix:
    """The Nix of this machine."""
    return closures.nix()


@pytest.fixture(scope="session", params=NIX_PREFIXES or [[]], ids=" ".join)
def newer_nix(request: pytest.FixtureRequest) -> Nix:
    """Each other Nix of LAMINA_TEST_NIX, on the same store."""
    if not request.param:
        pytest.skip("LAMINA_TEST_NIX names no other Nix")
    return closures.nix(tuple(request.param))


@pytest.fixture(scope="session", params=[[], *NIX_PREFIXES], ids=lambda prefix: " ".join(prefix) or "nix")
def every_nix(request: pytest.FixtureRequest) -> Nix:
    """The Nix of this machine, and each `newer_nix`."""
    return closures.nix(tuple(request.param))


@pytest.fixture(scope="session")
def expressions(nix: Nix) -> Iterator[Expressions]:
    """The images of tests/nix, as this checkout's nix/ makes them."""
    with folder() as here:
        yield tests_nix.expressions(nix, here)


@pytest.fixture(scope="session")
def small(nix: Nix) -> Sample:
    """Six paths that run in a container by themselves: bin/hello, and bin/serve on 127.0.0.1:$PORT."""
    return closures.sample(nix, "small", "top")


@pytest.fixture(scope="session")
def awkward(nix: Nix) -> Sample:
    """Every name, length, link and kind of node that a layer can get wrong; bin/hi counts them inside."""
    return closures.sample(nix, "awkward", "awkward")


@pytest.fixture(scope="session")
def extra_roots() -> tuple[str, ...]:
    """The store paths of LAMINA_TEST_ROOTS, none as a rule."""
    return tuple(EXTRA_ROOTS)


@pytest.fixture(scope="session", params=["small", "awkward", *EXTRA_ROOTS])
def sample(request: pytest.FixtureRequest, nix: Nix) -> Sample:
    """Each closure: our own two, and those of LAMINA_TEST_ROOTS."""
    if request.param in ("small", "awkward"):
        found: Sample = request.getfixturevalue(request.param)
        return found
    return Sample(request.param, nix.requisites(request.param))


@pytest.fixture(scope="session", params=EXTRA_ROOTS or ["small"])
def extra(request: pytest.FixtureRequest, nix: Nix) -> Sample:
    """Each closure of LAMINA_TEST_ROOTS, or else our small one."""
    if request.param == "small":
        found: Sample = request.getfixturevalue("small")
        return found
    return Sample(request.param, nix.requisites(request.param))
