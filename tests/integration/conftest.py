"""Fixtures for the outside tools: each starts when a test first requests it, and stops at the end of the run.

Every test of this folder has the marker `integration`.

Read from the environment, all optional:
  LAMINA_REQUIRE_TOOLS=1    same as --require-tools: a missing tool is a failure
  LAMINA_TEST_DOCKER_HOSTS  DOCKER_HOST values of running dockerds, which `docker` and `engine` use too
  LAMINA_TEST_MORE_DOCKER_HOSTS  those of more dockerds, which only `every_engine` and `any_engine` use
  LAMINA_TEST_CLIENTS       the prefix of a command that runs crane and oras, where this machine lacks them
  LAMINA_TEST_SYSTEMS       one line for each other system: the prefix of a command that runs podman, containerd and
                            skopeo there, in a mount namespace of its own that shows TMPDIR
  LAMINA_TEST_NIX           one line for each other Nix on this store: the prefix of `nix`, `nix-store` …
  LAMINA_TEST_ROOTS         store paths for `extra_roots`
"""

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration import browser as browsers
from tests.integration import closures, engines, tools
from tests.integration import expressions as tests_nix
from tests.integration.closures import Nix, Sample
from tests.integration.engines import Containerd, Engine, RegistryClient, Skopeo
from tests.integration.expressions import Expressions
from tests.integration.token_server import TokenServer, serve_tokens

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DOCKER_HOSTS = os.environ.get("LAMINA_TEST_DOCKER_HOSTS", "").split()
MORE_DOCKER_HOSTS = os.environ.get("LAMINA_TEST_MORE_DOCKER_HOSTS", "").split()
CLIENTS_PREFIX = shlex.split(os.environ.get("LAMINA_TEST_CLIENTS", ""))
SYSTEMS = list(filter(None, map(shlex.split, os.environ.get("LAMINA_TEST_SYSTEMS", "").splitlines())))
NIX_PREFIXES = list(filter(None, map(shlex.split, os.environ.get("LAMINA_TEST_NIX", "").splitlines())))
EXTRA_ROOTS = os.environ.get("LAMINA_TEST_ROOTS", "").split()
# user and secret, as htpasswd -B writes them
HTPASSWD = "user:$2y$05$L4QLcQjg1Gv20LFYaOwjI.YAQVoemgGhh0SkHKB2Hd9l8c.Ap0b96"


def pytest_addoption(parser: pytest.Parser) -> None:
    with suppress(ValueError):  # the conftest.py of the parent folder may have added the option already
        parser.addoption("--require-tools", action="store_true", help="a missing outside tool is a failure")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--require-tools", default=False):
        os.environ[tools.REQUIRE] = "1"  # workers of pytest-xdist inherit it


@pytest.hookimpl(tryfirst=True)  # before pytest looks at -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    for item in items:  # the items of the whole run, from all folders
        if item.path.is_relative_to(folder):
            item.add_marker("integration")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    outcomes = map(terminalreporter.getreports, ("skipped", "failed", "error"))
    missing = tools.count_missing(_reason(report) for reports in outcomes for report in reports)
    if missing:
        terminalreporter.section("outside tools")
        for reason, tests in sorted(missing.items()):
            terminalreporter.line(f"{reason}: {tests} {'test' if tests == 1 else 'tests'} could not run")
        terminalreporter.line("script/install-tools installs them all (Debian, Ubuntu; as root)")


def _reason(report: object) -> str:
    """Return why a test was skipped or failed; for a skip, pytest keeps file, line and reason."""
    longrepr = getattr(report, "longrepr", None)
    return str(longrepr[2] if isinstance(longrepr, tuple) else longrepr)


@contextmanager
def short_folder() -> Iterator[Path]:
    """Create a temporary folder whose path is short enough for unix sockets (107 bytes), and delete it at the end."""
    base = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="lamina-", dir=base if len(base) < 40 else "/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def own_docker() -> Iterator[Engine]:
    """Start the dockerd of this machine."""
    with short_folder() as folder, engines.start_dockerd(folder) as engine, _leaves_no_image(engine):
        yield engine


@pytest.fixture(scope="session")
def podman() -> Iterator[Engine]:
    with short_folder() as folder, engines.start_podman(folder) as engine, _leaves_no_image(engine):
        yield engine


@contextmanager
def _leaves_no_image(engine: Engine) -> Iterator[None]:
    """Fail at the end if the tests left images, which other tests of the same process would find."""
    before = engine.images()
    yield
    left = sorted(set(engine.images()).difference(before))
    assert not left, f"tests left images in {engine.name}: {left}"


_DOCKERS = ["docker", *DOCKER_HOSTS]
_PODMANS, _CONTAINERDS, _SKOPEOS = (
    {engines.name_program(name, system): system for system in ([], *SYSTEMS)}
    for name in ("podman", "containerd", "skopeo")
)
_ENGINES = ["podman", *_DOCKERS]
_ALL_ENGINES = [*_PODMANS, *_DOCKERS, *MORE_DOCKER_HOSTS]


@pytest.fixture(scope="session", params=_DOCKERS, ids=engines.name_docker)
def docker(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each dockerd in turn: the one of this machine, started here, and those of LAMINA_TEST_DOCKER_HOSTS."""
    yield from _engine(request)


@pytest.fixture(scope="session", params=_ENGINES, ids=engines.name_docker)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine in turn: `podman` and every `docker`."""
    yield from _engine(request)


@pytest.fixture(scope="session", params=_ALL_ENGINES, ids=engines.name_docker)
def every_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine in turn, and more: podman of LAMINA_TEST_SYSTEMS, dockerds of LAMINA_TEST_MORE_DOCKER_HOSTS.

    It is for tests of what engines do differently. Each of them takes seconds.
    """
    yield from _engine(request)


def _engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    fixture = {"podman": "podman", "docker": "own_docker"}.get(request.param)
    if fixture is not None:
        yield request.getfixturevalue(fixture)
        return
    with short_folder() as folder:
        if request.param in _PODMANS:
            with engines.start_podman(folder, _PODMANS[request.param]) as podman, _leaves_no_image(podman):
                yield podman
        else:
            yield engines.attach_docker(request.param, folder)


@pytest.fixture(scope="session")
def skopeo() -> Iterator[Skopeo]:
    """The skopeo of this machine."""
    with short_folder() as folder:
        yield engines.find_skopeo(folder)


@pytest.fixture(scope="session", params=_SKOPEOS)
def every_skopeo(request: pytest.FixtureRequest) -> Iterator[Skopeo]:
    """Each skopeo in turn: that of this machine, and those of LAMINA_TEST_SYSTEMS."""
    with short_folder() as folder:
        yield engines.find_skopeo(folder, _SKOPEOS[request.param])


@pytest.fixture(scope="session")
def containerd() -> Iterator[Containerd]:
    """The containerd of this machine."""
    with short_folder() as folder, engines.start_containerd(folder) as server:
        yield server


@pytest.fixture(scope="session", params=_CONTAINERDS)
def every_containerd(request: pytest.FixtureRequest) -> Iterator[Containerd]:
    """Each containerd in turn: `containerd`, and those of LAMINA_TEST_SYSTEMS."""
    yield from _containerd(request)


def _containerd(request: pytest.FixtureRequest) -> Iterator[Containerd]:
    if request.param == "containerd":
        yield request.getfixturevalue("containerd")
        return
    with short_folder() as folder, engines.start_containerd(folder, _CONTAINERDS[request.param]) as server:
        yield server


@pytest.fixture(scope="session", params=[*_ALL_ENGINES, *_CONTAINERDS], ids=engines.name_docker)
def any_engine(request: pytest.FixtureRequest) -> Iterator[Engine | Containerd]:
    """Each `every_engine` and `every_containerd` in turn."""
    yield from (_containerd if request.param in _CONTAINERDS else _engine)(request)


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """The address of a real registry: 127.0.0.1:PORT, plain HTTP, no login."""
    with short_folder() as folder, engines.start_registry(folder) as address:
        yield address


@pytest.fixture(scope="session")
def password_registry() -> Iterator[str]:
    """The address of a registry for users with a password."""
    with short_folder() as folder:
        (folder / "htpasswd").write_text(HTPASSWD)
        auth = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
        with engines.start_registry(folder, auth) as address:
            yield address


@pytest.fixture(scope="session")
def token_server() -> Iterator[TokenServer]:
    with serve_tokens() as server:
        yield server


@pytest.fixture(scope="session")
def token_registry(token_server: TokenServer) -> Iterator[str]:
    """The address of a registry for those with a token of `token_server`."""
    with short_folder() as folder:
        bundle = folder / "tokens.pem"
        bundle.write_bytes(token_server.pem)
        with engines.start_registry(folder, token_server.settings(str(bundle))) as address:
            yield address


@pytest.fixture(scope="session")
def crane() -> Iterator[RegistryClient]:
    with short_folder() as folder:
        yield engines.find_client("crane", CLIENTS_PREFIX, folder)


@pytest.fixture(scope="session")
def oras() -> Iterator[RegistryClient]:
    with short_folder() as folder:
        yield engines.find_client("oras", CLIENTS_PREFIX, folder)


@pytest.fixture(scope="session")
def crane_registry(crane: RegistryClient) -> Iterator[str]:
    """The address of crane's registry: 127.0.0.1:PORT, plain HTTP, no login."""
    with short_folder() as folder, engines.start_crane_registry(crane, folder) as address:
        yield address


@pytest.fixture(scope="session")
def nix() -> Nix:
    """The Nix of this machine."""
    return closures.open_nix()


@pytest.fixture(scope="session", params=NIX_PREFIXES or [[]], ids=" ".join)
def newer_nix(request: pytest.FixtureRequest) -> Nix:
    """Each Nix of LAMINA_TEST_NIX in turn, on the same store."""
    if not request.param:
        pytest.skip("LAMINA_TEST_NIX names no other Nix")
    return closures.open_nix(tuple(request.param))


@pytest.fixture(scope="session", params=[[], *NIX_PREFIXES], ids=lambda prefix: " ".join(prefix) or "nix")
def every_nix(request: pytest.FixtureRequest) -> Nix:
    """The Nix of this machine and each `newer_nix` in turn."""
    return closures.open_nix(tuple(request.param))


@pytest.fixture(scope="session")
def expressions(nix: Nix) -> Iterator[Expressions]:
    """The images of tests/nix, evaluated with nix/ of this checkout."""
    with short_folder() as folder:
        yield tests_nix.copy_expressions(nix, folder)


@pytest.fixture(scope="session")
def small(nix: Nix) -> Sample:
    """Six paths that run in a container by themselves: bin/hello, and bin/serve on 127.0.0.1:$PORT."""
    return closures.build_sample(nix, "small", "top")


@pytest.fixture(scope="session")
def awkward(nix: Nix) -> Sample:
    """A closure with every awkward name, length, link and kind of node; bin/hi counts them in the container."""
    return closures.build_sample(nix, "awkward", "awkward")


@pytest.fixture(scope="session")
def extra_roots() -> tuple[str, ...]:
    """The store paths of LAMINA_TEST_ROOTS, which is empty by default."""
    return tuple(EXTRA_ROOTS)


@pytest.fixture(scope="session", params=["small", "awkward", *EXTRA_ROOTS])
def sample(request: pytest.FixtureRequest, nix: Nix) -> Sample:
    """Each closure in turn: `small`, `awkward`, and those of LAMINA_TEST_ROOTS."""
    if request.param in ("small", "awkward"):
        own: Sample = request.getfixturevalue(request.param)
        return own
    return Sample(request.param, nix.requisites(request.param))


@pytest.fixture(scope="session", params=EXTRA_ROOTS or ["small"])
def extra(request: pytest.FixtureRequest, nix: Nix) -> Sample:
    """Each closure of LAMINA_TEST_ROOTS in turn, or `small` if there are none."""
    if request.param == "small":
        own: Sample = request.getfixturevalue("small")
        return own
    return Sample(request.param, nix.requisites(request.param))


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium; its driver has an event loop, which must not outlive the tests that use it."""
    with browsers.start_chromium() as started:
        yield started
