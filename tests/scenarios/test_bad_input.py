"""Bad input ends with one line on stderr and the right exit code, and leaves no output file."""

import os
import re
from pathlib import Path

import pytest
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import FakeStore, Program, call, example, run

import lamina
from lamina.stores.local.database import LocalStore

CONFIGS = [
    '{"Env": 5}',
    '{"Env": "A=b"}',
    '{"Env": ["=x"]}',
    '{"Labels": []}',
    '{"ExposedPorts": ["80"]}',
    '{"Cmd": "/bin/hello"}',
    '{"cmd": "/bin/hello"}',
    '{"Foo": NaN}',
    '{"StopTimeout": 99999999999999999999}',
    '{"a": ' * 900 + "1" + "}" * 900,
    "[]",
]
SPECS = [
    "layering = [[]]",
    "layering = {}",
    "layeringPipeline = [['popularity_contst']]",
    "layeringPipeline = [['limit_layers', 0]]",
    "layeringPipeline = [['reverse']]",
    "store = [1]",
    'extra_commands = "a\\u0000b"',
    "config = { a = 2020-01-01 }",
    'config = "x"',
    "compressor = [[]]",
    "jobs = nan",
    f'uid = "{"9" * 5000}"',
    "tree = 5",
    "search_path = 5",
    "max_layers = 1.5",
    "nosuch = 1",
]
FLAGS = [
    ["--expose", "9" * 5000],
    ["--cmd", "[" * 5000],
    ["--cmd", "'"],
    ["--tag", "-x"],
    ["--name", "a//b"],
    ["--created", "yesterday"],
    ["--label", "x"],
    ["--layering", "best"],
    ["--uid", "-1"],
    ["--dir", "relative"],
    ["--dir", "/a/../b"],
    ["--file", "/x"],
    ["--perm", "/nothing:755"],
    ["--no-such-flag"],
]


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def _assert_refused(code: int, output: Path, *arguments: str | Path) -> None:
    ran = run("build", "-o", output, *arguments)
    assert ran.code == code, ran.stderr
    assert re.fullmatch(r"lamina: [^\n]+: got [^\n]+, expected [^\n]+\n(hint: [^\n]+\n)?", ran.stderr), ran.stderr
    assert not ran.stdout
    assert not [name for name in os.listdir(output.parent) if output.name in name]


@pytest.mark.parametrize("config", CONFIGS)
def test_an_invalid_config_is_refused(config: str, store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    flags = ("--config", tmp_path / "config.json", "--env", "A=b", "--label", "a=b", "--expose", "80")
    _assert_refused(2, tmp_path / "image.tar", "hello", "--store", store.root, *flags)


@pytest.mark.parametrize("line", SPECS)
def test_an_invalid_spec_file_is_refused(line: str, store: FakeStore, tmp_path: Path) -> None:
    contents = "" if line.startswith("store") else f'store = "{store.root}"\n'
    (tmp_path / "lamina.toml").write_text(f'[a]\ncontents = ["hello"]\n{contents}{line}\n')
    _assert_refused(2, tmp_path / "image.tar", "--spec", tmp_path / "lamina.toml", "--env", "A=b", "--dir", "/x")


@pytest.mark.parametrize("flags", FLAGS, ids=lambda flags: flags[0][:20])
def test_an_invalid_flag_is_refused(flags: list[str], store: FakeStore, tmp_path: Path) -> None:
    _assert_refused(2, tmp_path / "image.tar", "hello", "--store", store.root, *flags)


@pytest.mark.parametrize(
    ("root", "code"),
    [
        ("/nix/store/00000000000000000000000000000000-none", 5),
        ("/nix/store/short-x", 2),
        ("/etc/passwd", 2),
        ("./nothing/here", 5),
        ("nosuch", 5),
        ("lib", 5),
    ],
)
def test_an_invalid_root_is_refused(root: str, code: int, store: FakeStore, tmp_path: Path) -> None:
    _assert_refused(code, tmp_path / "image.tar", root, "--store", store.root)


def test_a_valid_path_that_is_not_on_disk_is_refused(store: FakeStore, tmp_path: Path) -> None:
    (hello,) = LocalStore(store.root).find("hello")
    store.location(hello).rename(tmp_path / "gone")
    _assert_refused(5, tmp_path / "image.tar", "hello", "--store", store.root)


def test_the_error_for_an_ambiguous_name_lists_the_paths(store: FakeStore, tmp_path: Path) -> None:
    store.add("hello-2.11", {"bin": {"hello": Program(b"#!/no\n")}})
    ran = run("build", "hello", "--store", store.root, "-o", tmp_path / "image.tar")
    assert ran.code == 5
    assert "-hello-2.11, " in ran.error
    assert ran.error.endswith("-hello-2.12.1")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, 11),
        ("[[", 3),
        ('[["limit_layers", ' + "9" * 5000 + "]]", 3),
        ("[" * 100_000, 3),
        ("{}", 2),
        ('[["popularity_contst"]]', 2),
        ('[["reverse"]]', 2),
        ('[["split_paths", []], ["over", "main", ["flatten"]]]', 2),
    ],
)
def test_an_invalid_pipeline_file_is_refused(text: str | None, code: int, store: FakeStore, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.json"
    if text is not None:
        file.write_text(text)
    _assert_refused(code, tmp_path / "image.tar", "hello", "--store", store.root, "--layering", file)


def test_an_unknown_config_key_is_a_warning(store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"Comand": ["x"]}')
    config = tmp_path / "config.json"
    ran = run("build", "hello", "--store", store.root, "--config", config, "-o", tmp_path / "image.tar")
    assert ran.code == 0
    assert "lamina: warning: config: got key 'Comand'" in ran.stderr


@pytest.mark.parametrize("change", ["shrink", "grow", "touch", "vanish"])
def test_a_file_that_changes_while_it_is_streamed_is_an_error(change: str, store: FakeStore, tmp_path: Path) -> None:
    big = store.add("big-1", {"a": b"x" * 100, "b": b"y" * 100})
    stream = lamina.stream_layered_image(contents=[str(big)], store=str(store.root))
    file = store.location(big) / "b"

    class ChangingFile:
        """A file that changes the source while it is written: the layer has been listed, its bytes are not all read."""

        def write(self, data: memoryview) -> int:
            if file.exists():
                os.chmod(file, 0o644)
                os.chmod(file.parent, 0o755)
                match change:
                    case "shrink":
                        os.truncate(file, 50)
                    case "grow":
                        os.truncate(file, 150)
                    case "touch":
                        os.utime(file, (5, 5))
                    case _:
                        file.unlink()
            return len(data)

    with pytest.raises(lamina.IntegrityError):
        stream.write_to(ChangingFile())


def test_the_order_of_roots_that_do_not_collide_does_not_matter(store: FakeStore) -> None:
    other = store.add("other-1", {"lib": {"other": b"x"}})
    (hello,) = LocalStore(store.root).find("hello")
    images = []
    for contents in ([str(hello), str(other)], [str(other), str(hello)]):
        out = bytearray()
        stream = lamina.stream_layered_image(name="both", contents=contents, store=str(store.root))

        class Sink:
            def write(self, data: memoryview, out: bytearray = out) -> int:
                out += data
                return len(data)

        images.append((stream.write_to(Sink()).id, bytes(out)))
    assert images[0] == images[1]


def test_a_process_of_its_own_prints_no_traceback(store: FakeStore, tmp_path: Path) -> None:
    ran = call("build", "hello", "--store", tmp_path / "nowhere", "-o", tmp_path / "image.tar")
    assert ran.code == 5
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("flag", "value"), mark_rest([("--label", "ä=é"), ("--env", "A=é"), ("--cmd", "/bin/é"), ("--workdir", "/é")], 1)
)
def test_a_flag_is_utf_8_in_every_locale(flag: str, value: str, store: FakeStore, tmp_path: Path) -> None:
    """Python decodes the command line as ASCII under LC_ALL=C if its UTF-8 mode is off (PEP 538, PEP 540)."""
    ids = []
    for locale in ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"LC_ALL": "C.UTF-8"}):
        output = tmp_path / "image.tar"
        ran = call("build", "hello", "--store", store.root, "-o", output, flag, value, env={**os.environ, **locale})
        assert ran.code == 0, ran.stderr
        ids.append(lamina.inspect(output)[0].id)
    assert ids[0] == ids[1]
