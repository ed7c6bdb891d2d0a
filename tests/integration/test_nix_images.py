"""The images of tests/nix in real engines: scripts, fakeroot, small contents and shells, built, loaded and run."""

import gzip
import json
import sqlite3
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.integration.engines import Engine, Skopeo
from tests.integration.expressions import Expressions, load, stream
from tests.integration.tools import ToolError, require

import lamina

GREETING = "Hello, world!\n"


@pytest.mark.parametrize("attribute", ["plain", "two", "untagged"])
def test_an_image_runs(expressions: Expressions, engine: Engine, tmp_path: Path, attribute: str) -> None:
    assert expressions.load_and_run(f"images.{attribute}", engine, tmp_path) == GREETING


def test_zstd_compresses_the_same_archive(expressions: Expressions, tmp_path: Path) -> None:
    (packed,), (plain,) = (lamina.inspect(expressions.build(f"images.{name}")) for name in ("zstd", "plain"))
    assert packed.digest == plain.digest
    assert [layer.diff_id for layer in packed.layers] == [layer.diff_id for layer in plain.layers]


def test_scripts_and_contents_reach_the_container(expressions: Expressions, engine: Engine, tmp_path: Path) -> None:
    require("fakeroot")
    assert expressions.load_and_run("images.scripted", engine, tmp_path).splitlines() == [
        "(made by a script's commands)",
        "other",
        "a file",
        "1000:100",
        GREETING.strip(),
    ]


def test_fakeroot_commands_run_with_the_image_as_their_root(
    expressions: Expressions, engine: Engine, tmp_path: Path
) -> None:
    require("fakeroot")
    require("proot")
    assert expressions.load_and_run("images.rooted", engine, tmp_path).splitlines() == ["12345:12345", GREETING.strip()]


def test_shadow_setup_makes_the_users_files(expressions: Expressions, engine: Engine, tmp_path: Path) -> None:
    require("proot")
    output = expressions.load_and_run("images.shadowed", engine, tmp_path)
    assert [line.split(":")[0] for line in output.splitlines()] == ["root"] * 4


def test_an_image_with_a_base_has_the_content_of_both(expressions: Expressions, engine: Engine, tmp_path: Path) -> None:
    assert expressions.load_and_run("images.based", engine, tmp_path).splitlines() == [
        "base child",
        "base",
        "a file",
        GREETING.strip(),
    ]
    (image,) = lamina.inspect(tmp_path / "images.based.tar")
    assert len(image.layers) == 4


def test_a_base_image_can_be_compressed_with_zstd(expressions: Expressions, tmp_path: Path) -> None:
    (base,) = lamina.inspect(expressions.build("images.plain"))
    (image,) = lamina.inspect(expressions.archive("images.onZstd", tmp_path))
    assert [layer.diff_id for layer in image.layers][: len(base.layers)] == [layer.diff_id for layer in base.layers]


@pytest.mark.parametrize(
    ("attribute", "layers"),
    [
        ("pipelined", [["busybox-static"], ["hello-2.12.1"], ["greeting-1.0"]]),
        ("pipelinedByFile", [["busybox-static"], ["greeting-1.0", "hello-2.12.1"]]),
        ("popular", [["busybox-static"], ["greeting-1.0", "hello-2.12.1"]]),
    ],
)
def test_a_pipeline_decides_the_layer_of_each_path(
    expressions: Expressions, attribute: str, layers: list[list[str]]
) -> None:
    conf = json.loads(expressions.build(f"images.{attribute}.conf").read_text())
    assert [sorted(path.split("-", 1)[1] for path in paths) for paths in conf["store_layers"]] == layers


@contextmanager
def open_database(conf: Mapping[str, str], folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the Nix database in the customisation layer of ``conf``."""
    with tarfile.open(Path(conf["customisation_layer"], "layer.tar")) as layer:
        file = layer.extractfile("./nix/var/nix/db/db.sqlite")
        assert file
        (folder / "db.sqlite").write_bytes(file.read())
    with closing(sqlite3.connect(folder / "db.sqlite")) as database:
        yield database


def test_the_database_has_every_path_of_the_image(expressions: Expressions, tmp_path: Path) -> None:
    conf = json.loads(expressions.build("images.database.conf").read_text())
    image_paths = {path for paths in conf["store_layers"] for path in paths}
    assert {path.split("-", 1)[1] for path in image_paths} >= {"other-1.0", "cacert", "hello-2.12.1"}
    with open_database(conf, tmp_path) as database:
        assert {path for (path,) in database.execute("SELECT path FROM ValidPaths")} == image_paths


def test_an_unwrapped_python_runs_scripts(expressions: Expressions) -> None:
    conf = json.loads(expressions.build("images.unwrapped.conf").read_text())
    with tarfile.open(Path(conf["customisation_layer"], "layer.tar")) as layer:
        made = layer.getmember("./made")
    assert (made.uid, made.gid) == (1000, 100)


def test_paths_registered_in_the_base_image_are_not_packed_again(expressions: Expressions, tmp_path: Path) -> None:
    conf = json.loads(expressions.build("images.onRegistered.conf").read_text())
    assert conf["store_layers"] == []
    with open_database(conf, tmp_path) as database:
        registered = [path.split("-", 1)[1] for (path,) in database.execute("SELECT path FROM ValidPaths")]
    assert "hello-2.12.1" in registered


def test_merged_images_have_the_compression_of_the_last_and_each_runs(
    expressions: Expressions, engine: Engine, tmp_path: Path
) -> None:
    merged = expressions.build("images.merged")
    assert gzip.decompress(merged.read_bytes())
    (tmp_path / "merged.tar").write_bytes(gzip.decompress(merged.read_bytes()))
    tag = expressions.evaluate("images.untagged.imageTag")
    engine.load(tmp_path / "merged.tar")
    for name in ("plain:1", f"untagged:{tag}"):
        assert engine.run(name).stdout == GREETING
        engine.remove(name)


def test_images_are_merged_and_packed_with_zstd(expressions: Expressions) -> None:
    merged = expressions.build("images.mergedPacked")
    assert merged.read_bytes().startswith(b"\x28\xb5\x2f\xfd")
    assert [image.repo_tags for image in lamina.inspect(merged)] == [("base:1",), ("plain:1",)]


def test_an_image_that_is_merged_twice_is_there_once(expressions: Expressions) -> None:
    assert [image.repo_tags for image in lamina.inspect(expressions.build("images.mergedTwice"))] == [("plain:1",)]


def test_an_image_is_exported_as_its_root_file_system(expressions: Expressions) -> None:
    exported = expressions.build("images.exported")
    assert exported.name.endswith("-root.tar.gz")
    assert exported.read_bytes() == expressions.build("images.exportedByName").read_bytes()
    with tarfile.open(exported, "r:") as root:
        names = {name.removeprefix("./").strip("/") for name in root.getnames()}
    hello = expressions.evaluate('"${pkgs.hello}"')
    assert {"below", "bin/hello", f"{hello}/bin/hello".strip("/")} <= names


def test_without_store_paths_the_layers_have_none(expressions: Expressions, tmp_path: Path) -> None:
    (image,) = lamina.inspect(expressions.archive("images.bare", tmp_path))
    assert [layer.paths for layer in image.layers] == [()]


def test_a_budget_of_two_is_one_layer_of_all_paths(expressions: Expressions, tmp_path: Path) -> None:
    (image,) = lamina.inspect(expressions.archive("images.two", tmp_path))
    assert [len(layer.paths) for layer in image.layers] == [3, 0]


def test_owner_date_and_architecture_are_as_given(expressions: Expressions, tmp_path: Path) -> None:
    archive = expressions.archive("images.owned", tmp_path)
    (image,) = lamina.inspect(archive)
    assert (image.config["architecture"], image.config["created"]) == ("arm64", "2024-02-03T03:05:06+00:00")
    with tarfile.open(archive) as outer, tarfile.open(fileobj=outer.extractfile("1.tar")) as layer:
        owners = {(member.uid, member.gid, member.uname, member.gname, member.mtime) for member in layer}
    assert owners == {(1000, 100, "user", "users", 86400)}


def test_now_is_the_time_of_the_stream(expressions: Expressions) -> None:
    script = expressions.build("images.now")
    before = datetime.now(UTC)
    archive = stream(script).stdout
    assert json.loads(expressions.build("images.now.conf").read_text())["created"] == "now"
    created = archive[archive.index(b'"created": "') + 12 :]
    assert before <= datetime.fromisoformat(created[: created.index(b'"')].decode()) <= datetime.now(UTC)


def test_the_small_contents_are_at_their_usual_paths(expressions: Expressions, engine: Engine, tmp_path: Path) -> None:
    script = (
        "cat /etc/passwd /etc/group /etc/nsswitch.conf; cd /var/empty; echo *; "
        "cat /etc/ssl/certs/ca-bundle.crt /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt"
    )
    name = load(engine, expressions.archive("images.small", tmp_path))
    busybox = expressions.evaluate('"${pkgs.busybox}/bin"')
    assert engine.run(name, "sh", "-c", f"PATH={busybox}; {script}").stdout.splitlines() == [
        "root:x:0:0:root user:/var/empty:/bin/sh",
        "me:x:7:7:me:/:/bin/sh",
        "nobody:x:65534:65534:nobody:/var/empty:/bin/sh",
        "root:x:0:",
        "us:x:7:",
        "nobody:x:65534:",
        "hosts: files dns",
        "*",
        *["certificates"] * 3,
    ]
    engine.remove(name)


def test_a_shell_image_has_the_environment_of_the_derivation(
    expressions: Expressions, engine: Engine, tmp_path: Path
) -> None:
    require("fakeroot")
    assert expressions.load_and_run("images.shellRun", engine, tmp_path).splitlines() == [
        "hooked",
        GREETING.strip(),
        "1000",
        "from a file and built",
    ]


def test_a_shell_image_with_a_command_is_interactive(expressions: Expressions, engine: Engine, tmp_path: Path) -> None:
    require("fakeroot")
    assert expressions.build("images.shellCommand").name.endswith("-in-a-shell-env.tar")
    hooked, flags, home = expressions.load_and_run("images.shellCommand", engine, tmp_path, "--tty").splitlines()
    assert (hooked, home) == ("hooked", "/build")
    assert "i" in flags


def test_an_image_is_pulled_by_its_digest(
    expressions: Expressions, registry: str, skopeo: Skopeo, tmp_path: Path
) -> None:
    archive = expressions.archive("images.plain", tmp_path)
    reference = f"docker://{registry}/some/image:1"
    skopeo.copy(f"docker-archive:{archive}", reference, "--dest-tls-verify=false")
    digest = skopeo.inspect(reference, "--tls-verify=false")["Digest"]

    def pull(expected_hash: str) -> str:
        arguments = (
            f'imageName = "{registry}/some/image"; imageDigest = "{digest}"; finalImageName = "localhost/pulled"; '
            f'finalImageTag = "2"; tlsVerify = false; hash = "{expected_hash}";'
        )
        scope = f"with import {expressions.source}/tests/nix {{ host = {expressions.host}; }};"
        expression = f"{scope} dockerTools.pullImage {{ {arguments} }}"
        return expressions.nix.call("nix-build", "--no-out-link", "--expr", expression).stdout.strip()

    with pytest.raises(ToolError, match=r"got: +sha256-") as refused:
        pull("sha256-" + "A" * 43 + "=")
    image = Path(pull(str(refused.value).split("got:")[1].split()[0]))
    assert image.name.endswith("docker-image-127.0.0.1-" + registry.rpartition(":")[2] + "-some-image.tar")
    (found,) = lamina.inspect(image)
    assert found.repo_tags == ("localhost/pulled:2",)
    assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in lamina.inspect(archive)[0].layers]
