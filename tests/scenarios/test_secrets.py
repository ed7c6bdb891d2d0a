"""A secret from the command line, the environment or a user's file never appears in what lamina prints or writes."""

from __future__ import annotations

import http.server
import itertools
import os
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import click
import pytest
from tests.support.cli_parameters import PARAMETERS, arguments
from tests.support.embedded_store import KEY as PUBLIC
from tests.support.embedded_store import ROOT
from tests.support.examples import mark_rest, scale
from tests.support.fake_nix_store import CompletedRun, example, run
from tests.support.paths import EXAMPLES

from lamina.cli.debug_traceback import format_traceback
from lamina.errors import InvalidArgument
from lamina.transports.environment import find_proxy
from lamina.transports.urls import Origin

# One attack in many forms; the unit tests of each room have the rules.
pytestmark = pytest.mark.integration

WORD = "hUnTeR2"
KEY = b64encode(bytes(reversed(range(64)))).decode()
# Users may write each of these, by mistake or not, where a folder, a URL or a key is expected.
SECRETS = (
    f"https://user:{WORD}/{WORD}@cache.invalid/x",
    f"https://user:{WORD}?{WORD}@cache.invalid",
    f"https://user:{WORD}#{WORD}@cache.invalid",
    f"https://user:{WORD} {WORD}@cache.invalid",
    f"https://user:{WORD}\n@cache.invalid",
    f"https://user:{WORD}@[::",
    f"https://user:{WORD}@cache.invalid:99999/x",
    f"https://user:{WORD}\u2100@cache.invalid/",
    f"http:/user:{WORD}@cache.invalid",
    f"https:user:{WORD}@cache.invalid",
    f"user:{WORD}@cache.invalid",
    f"user:{WORD}/{WORD}@cache.invalid/x",
    f"user:{WORD} {WORD}@cache.invalid",
    f"ssh://user:{WORD}@cache.invalid",
    f"ftp://{WORD}@cache.invalid/x",
    f"s3://Bad_Bucket?access-key-id={WORD}&secret-access-key={WORD}",
    f"s3://bucket?secret-access-key={WORD}",
    f"s3:/bucket?secret-access-key={WORD}",
    f"s3:bucket?secret-access-key={WORD}",
    f"file://user:{WORD}@host/srv",
    f"file:/srv?secret={WORD}",
    f"key-1:{KEY}",
    f"key-1:{KEY[:-5]}",
    f"key-1: {KEY}",
    KEY,
    KEY[:44],
    f"{KEY}:key-1",
)
# Parameters that name a result, which is printed unchanged if it was accepted.
_RESULTS = {"output", "name", "tag"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store that no test changes."""
    folder = tmp_path_factory.mktemp("store") / "root"
    example(folder)
    return folder


@pytest.fixture
def here(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store, away from the user's own settings; the tests work in its folder ``work``."""
    (tmp_path / "root").symlink_to(store)
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    for variable in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def printed(ran: CompletedRun) -> str:
    """Return all text that was printed, without stdout where it is an image."""
    return ran.stderr + (ran.stdout.decode("utf-8", "replace") if len(ran.stdout) < 1 << 16 else "")


def check(ran: CompletedRun, secret: str, *, result: bool = False) -> None:
    text = ran.stderr if result else printed(ran)
    assert ran.code in (0, 2, 3, 4, 5, 6, 9, 10, 11), text
    assert WORD not in text, text
    assert KEY[:16] not in text, text
    assert "lamina: a bug" not in text, text


@pytest.mark.parametrize(("names", "option", "parameter"), PARAMETERS)
def test_no_parameter_of_the_command_line_prints_a_secret(
    names: tuple[str, ...], option: str, parameter: click.Parameter, here: Path
) -> None:
    """Each option and argument of every verb is tried with some secrets, drawn at random; ``LAMINA_ALL`` tries all."""
    draw = Random(" ".join((*names, option)))
    chosen = SECRETS if os.environ.get("LAMINA_ALL") else draw.sample(SECRETS, scale(5))
    for number, secret in enumerate(chosen):
        more = [(), ("--json",), ("--debug",), ("--json", "--debug")][number % 4]
        ran = run(*arguments(names, option, secret, here), *more)
        if ran.code or parameter.name not in _RESULTS:
            check(ran, secret, result=names[0] == "stream")


@pytest.mark.parametrize("secret", mark_rest(SECRETS, 6))
def test_no_usage_error_prints_a_secret(secret: str, here: Path) -> None:
    for words in (
        [secret],
        [f"--{secret}"],
        [f"-{secret}"],
        ["store", secret],
        ["store", "key", secret],
        ["store", "gc", "--dry-run", f"--{secret}"],
        ["store", "key", "public", "a", secret],
        ["inspect", "a", "b", secret],
        ["plan", "--uid", secret],
        ["plan", "--time-limit", secret],
        ["plan", "--progress", secret],
        ["plan", f"--json={secret}"],
        ["export", "a", "-o", "b", "--compressor", secret],
    ):
        ran = run(*words)
        assert ran.code == 2
        check(ran, secret)
        check(run(*words, "--debug"), secret)


VARIABLES = [
    "http_proxy", "https_proxy", "all_proxy", "no_proxy", "NETRC", "SSL_CERT_FILE", "NIX_SSL_CERT_FILE", "AWS_PROFILE",
    "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY", "SOURCE_DATE_EPOCH", "XDG_CACHE_HOME", "XDG_DATA_HOME", "TMPDIR",
]  # fmt: skip


@pytest.mark.parametrize("variable", VARIABLES)
def test_no_variable_of_the_environment_is_printed(variable: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = Random(variable)
    for secret in SECRETS if os.environ.get("LAMINA_ALL") else draw.sample(SECRETS, scale(10)):
        monkeypatch.setenv(variable, secret)
        for words in (
            ["plan", "hello", "--store", f"{here}/root"],
            ["store", "fetch", "hello", "--channel", f"file://{here}/none", "--store", f"{here}/root"],
            *([["store", "push", "x", "--to", "s3://Bad"]] if variable.startswith("AWS") else []),
        ):
            check(run(*words, "--debug"), secret)


TABLES: dict[str, str] = {
    "spec.toml": "[a]\n{key} = [{value}]\n",
    "spec.json": '{{"a": {{"{key}": [{value}]}}}}',
}
ARGUMENTS = [
    "contents", "closure", "store", "trusted_keys", "channel", "from_image", "layering", "name", "tag", "layer_cache",
    "embedded_store", "channel_lists", "architecture", "created", "mtime", "uid", "uname", "compressor", "extras",
    "inherit", "tree", "jobs", "config", "layer_compression", "nosuch", "time_limit", "verify", "max_layers",
]  # fmt: skip


@pytest.mark.parametrize(("file", "key"), list(itertools.product(TABLES, ARGUMENTS)))
def test_no_argument_in_a_spec_file_is_printed(file: str, key: str, here: Path) -> None:
    import json

    for number, secret in enumerate(Random(file + key).sample(SECRETS, scale(10))):
        text = TABLES[file].format(key=key, value=json.dumps(secret))
        Path(file).write_text(text if number % 2 else text.replace("[" + json.dumps(secret) + "]", json.dumps(secret)))
        check(run("plan", "--spec", f"{file}#a", "--offline", "--debug"), secret)


BROKEN: list[tuple[str, list[Any]]] = [
    ("config.json", ["plan", "hello", "--config", "config.json"]),
    ("pipeline.json", ["plan", "hello", "--layering", "pipeline.json"]),
    ("graph.json", ["plan", "hello", "--store", "graph.json"]),
    ("conf.json", ["stream", "--conf", "conf.json"]),
    ("spec.toml", ["plan", "--spec", "spec.toml"]),
    ("list", ["plan", "hello", "--channel", "list"]),
    ("image.tar", ["inspect", "image.tar"]),
    ("export", ["store", "import", "export"]),
    ("cache.key", ["store", "key", "public", "cache.key"]),
    ("cache.key", ["store", "sign", "--all", "--key", "cache.key"]),
]


@pytest.mark.parametrize(("file", "words"), BROKEN)
@pytest.mark.parametrize(
    "form", mark_rest(["{}", '["{}"]', '"{}"', '{{"{}": 1}}', '{{"path": "{}"}}', "{}\n{}", "[default]\n{}\n"], 2)
)
def test_no_line_of_a_broken_file_is_printed(file: str, words: list[str], form: str, here: Path) -> None:
    for secret in Random(file + form).sample(SECRETS, scale(10)):
        Path(file).write_text(form.replace("{}", secret).replace("{{", "{").replace("}}", "}"))
        check(run(*words, "--debug"), secret)


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_a_proxy_with_a_secret_is_used_or_refused_without_it(
    variable: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for secret in SECRETS[:21]:  # the others are keys, which are valid as the name of a host
        monkeypatch.setenv(variable, secret)
        try:
            printed = repr(find_proxy(Origin.of("http://host")))
        except InvalidArgument as error:
            printed = f"{error} {error.hint} {' '.join(format_traceback(error))}"
        assert WORD not in printed


# --- files


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the example cache to requests with the password and the token."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, directory=str(EXAMPLES / "cache"))

    def do_GET(self) -> None:
        expected = "Basic " + b64encode(f"user:{WORD}".encode()).decode()
        if self.headers.get("Authorization") != expected or f"token={WORD}" not in self.path:
            self.send_error(403)
            return
        self.path = self.path.partition("?")[0]
        super().do_GET()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def cache() -> Iterator[str]:
    """The URL of a cache, with the secrets that it expects."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://user:{WORD}@127.0.0.1:{server.server_port}?token={WORD}"
        finally:
            server.shutdown()
            thread.join()


def test_no_file_that_is_written_holds_a_secret(cache: str, here: Path) -> None:
    """The files are the store, the layer cache, the channel lists, the image and the script."""
    flags = ["--store", cache, "--trusted-key", PUBLIC]
    for words in (
        ["build", ROOT, *flags, "-o", "image.tar", "--layer-cache", "layer_cache"],
        ["script", ROOT, *flags, "-o", "script", "--layer-cache", "layer_cache"],
        ["store", "fetch", ROOT, *flags, "--to", "store"],
        ["store", "push", ROOT, *flags, "--to", f"file://{here}/to"],
        ["plan", "hello", *flags, "--channel", cache],
    ):
        for more in ([], ["--json"], ["--debug"]):
            ran = run(*words, *more)
            assert ran.code == 0 or words[0] == "plan", ran.stderr
            assert WORD not in ran.stderr + ran.stdout.decode("utf-8", "replace")
    files = [file for file in here.rglob("*") if file.is_file() and not file.is_symlink()]
    assert len(files) > 20
    assert not [file for file in files if WORD.encode() in file.read_bytes() or WORD in str(file)]
