"""nix/ in real Nix: the examples of the manual and the values of dockerTools are built, loaded and run."""

import json
import os
import re
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from tests.integration import expressions as tests_nix
from tests.integration.closures import Nix
from tests.integration.engines import Engine
from tests.integration.expressions import SANDBOX, Expressions, load, stream
from tests.integration.tools import ToolError, require
from tests.support.paths import REPOSITORY

GREETING = "Hello, world!\n"
# nixpkgs' lib.getExe of a derivation.
GET_EXE = 'drv: let out = drv.bin or drv.out or drv; in "${out}/bin/${drv.meta.mainProgram}"'


@pytest.fixture(scope="module")
def newer(expressions: Expressions, newer_nix: Nix) -> Expressions:
    """The expressions for another Nix."""
    return tests_nix.for_other_nix(expressions, newer_nix)


# The examples of the nixpkgs manual


def _assert_examples(expressions: Expressions, engine: Engine, folder: Path) -> None:
    built, streamed = expressions.build("built"), expressions.build("streamed")
    assert built.name.endswith("-hello.tar.gz")
    assert streamed.name.endswith("-stream-hello")
    if engine.kind == "podman" and engine.version < (5,):
        with pytest.raises(ToolError):  # podman 4 reads no gzip
            engine.load(built)
        built = expressions.archive("built", folder)
    for archive in (built, expressions.archive("streamed", folder)):
        assert load(engine, archive) == "hello:latest"
        assert engine.run("hello:latest").stdout == GREETING
        engine.remove("hello:latest")


def test_the_examples_of_the_manual_load_and_run(expressions: Expressions, engine: Engine, tmp_path: Path) -> None:
    _assert_examples(expressions, engine, tmp_path)


def test_the_examples_built_by_a_newer_nix_load_and_run(newer: Expressions, engine: Engine, tmp_path: Path) -> None:
    _assert_examples(newer, engine, tmp_path)


def test_the_example_of_the_docs_is_the_derivation_of_the_manual(expressions: Expressions) -> None:
    example, *_ = re.findall(r"```nix\n(.*?)```", (REPOSITORY / "docs/nix.md").read_text(), re.DOTALL)
    function = example.replace("./lamina/nix", f"{expressions.source}/nix")
    assert expressions.evaluate(f"(({function}) {{ inherit pkgs; }}).drvPath") == expressions.evaluate("built.drvPath")


def test_a_newer_nix_makes_the_same_derivations(expressions: Expressions, newer_nix: Nix) -> None:
    same = Expressions(newer_nix, expressions.source, expressions.host)
    for attribute in ("built", "streamed", "images.scripted", "images.rooted", "images.shellRun"):
        assert same.derivation(attribute) == expressions.derivation(attribute)


def test_a_stream_prints_the_lines_of_the_manual(expressions: Expressions) -> None:
    ran = stream(expressions.build("streamed"))
    lines = ran.stderr.decode().splitlines()
    assert lines[0] == "No 'fromImage' provided"
    for number, line in enumerate(lines[1:-3], 1):
        assert re.fullmatch(rf"Creating layer {number} from paths: \['/nix/store/[0-9a-z]{{32}}-\S+'\]", line)
    assert lines[-3:] == [f"Creating layer {len(lines) - 3} with customisation...", "Adding manifests...", "Done."]


_REBUILT = (
    "built",
    "streamed.conf",
    "images.zstd",
    "images.two.conf",
    "images.database.conf",
    "images.database.conf.given.customisationLayer",
    "images.merged",
    "images.exported",
)
_WITH_FAKEROOT = "images.scripted.conf.given.customisationLayer"
# Not in a sandbox, where proot 5.1 of Debian does not support statx.
_WITH_PROOT = "images.rooted.conf.given.customisationLayer"


@pytest.mark.parametrize("options", [("--cores", "1"), ("--cores", "4"), SANDBOX], ids=["1 core", "4 cores", "sandbox"])
def test_a_rebuild_gives_the_same_bytes(expressions: Expressions, options: tuple[str, ...]) -> None:
    require("fakeroot")
    require("proot")
    for attribute in (*_REBUILT, _WITH_FAKEROOT, *([] if options == SANDBOX else [_WITH_PROOT])):
        expressions.build(attribute)
        expressions.rebuild(attribute, *options)


@pytest.mark.parametrize("options", [(), SANDBOX], ids=["plain", "sandbox"])
def test_a_newer_nix_builds_the_same_bytes(expressions: Expressions, newer_nix: Nix, options: tuple[str, ...]) -> None:
    same = Expressions(newer_nix, expressions.source, expressions.host)
    for attribute in set(_REBUILT) - {"images.zstd"}:  # the root file system of that Nix may have another zstd
        expressions.build(attribute)
        same.rebuild(attribute, *options)


# The values of dockerTools


def _assert_program(expressions: Expressions) -> None:
    """Check that a stream is an executable file for nix-build and in a string, and a program for `nix run`."""
    printed = expressions.nix.call("nix-build", "--no-out-link", *expressions.arguments, "--attr", "streamed")
    script = Path(printed.stdout.strip())
    assert script.is_file()
    assert os.access(script, os.X_OK)
    file, program = expressions.evaluate(f'[ "${{streamed}}" (({GET_EXE}) streamed) ]')
    assert file == str(script)
    assert Path(program).name == "stream-hello"
    image = stream(script).stdout
    assert stream(Path(program)).stdout == image
    assert expressions.run("streamed") == image


def test_a_stream_is_a_file_and_a_program(expressions: Expressions) -> None:
    _assert_program(expressions)


def test_a_stream_is_a_file_and_a_program_to_a_newer_nix(newer: Expressions) -> None:
    _assert_program(newer)


def test_a_stream_has_the_attributes_of_dockertools(expressions: Expressions) -> None:
    evaluated = expressions.evaluate(
        "{ inherit (streamed) imageTag imageName isExe name; inherit (streamed.passthru) conf;"
        ' streamScript = "${streamed.streamScript}"; main = streamed.meta.mainProgram; }'
    )
    conf = Path(evaluated.pop("conf"))
    streamer = Path(evaluated.pop("streamScript"))
    assert evaluated == {
        "imageTag": "latest",
        "imageName": "hello",
        "isExe": True,
        "name": "stream-hello",
        "main": "stream-hello",
    }
    image = stream(expressions.build("streamed")).stdout
    assert stream(streamer, str(conf)).stdout == image
    assert json.loads(conf.read_text())["repo_tag"] == "hello:latest"


def test_an_image_file_has_the_attributes_of_dockertools(expressions: Expressions) -> None:
    evaluated = expressions.evaluate(
        '{ inherit (built) imageTag imageName name; conf = "${built.conf}" == "${streamed.conf}"; '
        'stream = "${built.stream}" == "${streamed}"; script = built ? streamScript; exe = built.isExe or false; }'
    )
    assert evaluated == {
        "imageTag": "latest",
        "imageName": "hello",
        "name": "hello.tar.gz",
        "conf": True,
        "stream": True,
        "script": True,
        "exe": False,
    }


def test_conf_has_the_keys_of_nixpkgs_in_their_order(expressions: Expressions) -> None:
    conf = json.loads(expressions.build("images.owned.conf").read_text())
    layer = Path(conf.pop("customisation_layer"))
    layers = conf.pop("store_layers")
    assert sorted(path.split("-", 1)[1] for paths in layers for path in paths) == [
        "busybox-static",
        "greeting-1.0",
        "hello-2.12.1",
    ]
    assert list(conf.items()) == [
        ("architecture", "arm64"),
        ("config", {}),
        ("os", "linux"),
        ("store_dir", "/nix/store"),
        ("from_image", None),
        ("repo_tag", "owned:1"),
        ("created", "2024-02-03T03:05:06+00:00"),
        ("mtime", "1970-01-02T00:00:00+00:00"),
        ("uid", "1000"),
        ("gid", "100"),
        ("uname", "user"),
        ("gname", "users"),
    ]
    assert re.fullmatch("[0-9a-f]{64}\n", (layer / "checksum").read_text())


def test_the_engine_loads_the_tag_of_image_tag(expressions: Expressions, engine: Engine, tmp_path: Path) -> None:
    tag, stream_tag = expressions.evaluate("[ images.untagged.imageTag images.untaggedStream.imageTag ]")
    assert re.fullmatch("[0-9a-z]{32}", tag)
    assert stream_tag == tag
    name = load(engine, expressions.archive("images.untagged", tmp_path))
    assert name == f"untagged:{tag}"
    engine.remove(name)


def test_a_stream_script_accepts_another_name(expressions: Expressions) -> None:
    with tarfile.open(fileobj=BytesIO(stream(expressions.build("streamed"), "-t", "other:2").stdout)) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest
        assert json.load(manifest)[0]["RepoTags"] == ["other:2"]


def test_an_override_changes_the_image(expressions: Expressions) -> None:
    names = expressions.evaluate("map (image: image.name) [ images.plain images.zstd images.renamed ]")
    assert names == ["plain.tar", "plain.tar.zst", "stream-plaind"]
    conf = json.loads(expressions.build("images.renamed.conf").read_text())
    assert conf["repo_tag"] == "plaind:1"


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ("argument", "contens"),
        ("budget", "maxLayers argument of dockerTools.streamLayeredImage must be greater than 1"),
        ("compressor", r"in docker image x: compressor must be one of: \[gz none zstd\]"),
        ("image", "no dockerTools.buildImage.*Use dockerTools.buildLayeredImage.*streamLayeredImage.*fakeRootCommands"),
        ("shell", "got both command and run"),
        ("pull", "got 0 of hash, sha256 and outputHash"),
        ("darwin", "proot, which does not run on Darwin.*327311"),
    ],
)
def test_invalid_arguments_are_refused_at_evaluation(expressions: Expressions, attribute: str, reason: str) -> None:
    with pytest.raises(ToolError, match=f"(?s){reason}"):
        expressions.derivation(f"images.refused.{attribute}")


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ("file", "which is a file, expected a folder"),
        ("config", r'config.Cmd: got \'hello\', expected a list of strings.*write Cmd as a list: \["hello"\]'),
        ("budget", "usedLayers 3 layers to store 'fromImage' and 'extraCommands', but only maxLayers=3 were allowed"),
        ("pipeline", "got operation 'popularity_contes'.*did you mean popularity_contest?"),
        ("script", "on the way.*extra commands: got exit status 1, expected 0"),
    ],
)
def test_a_build_fails_with_the_reason(expressions: Expressions, attribute: str, reason: str) -> None:
    with pytest.raises(ToolError, match=f"(?s){reason}"):
        expressions.build(f"images.failing.{attribute}")


def test_an_image_for_another_processor_can_be_built(expressions: Expressions) -> None:
    conf = json.loads(expressions.build("images.cross.conf").read_text())
    assert conf["architecture"] == "arm64"
    assert stream(expressions.build("images.cross")).stdout


def test_a_minimal_package_set_is_enough(expressions: Expressions) -> None:
    conf = json.loads(expressions.build("images.least.conf").read_text())
    assert conf["architecture"] == "riscv64"
    assert stream(expressions.build("images.least")).stdout
