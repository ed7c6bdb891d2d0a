"""The command line as its users see it: every verb, its flags, its results and its messages."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import (
    VERBS,
    CompletedRun,
    FakeStore,
    Program,
    SymlinkTo,
    call,
    example,
    process,
    run,
    store_path,
    write_graph,
)
from tests.support.image_files import LayoutBuilder, docker_archive, layer, platform

import lamina
from lamina.layering import STRATEGY_NAMES

HELLO = store_path("hello-2.12.1")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.chdir(tmp_path)
    return example(tmp_path / "root")[0]


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = {}
        for member in tar:
            content = tar.extractfile(member)
            found[member.name] = content.read() if content else b""
    return found


def config_of(archive: bytes) -> Any:
    """Return the config document of the image, as JSON."""
    found = members(archive)
    (entry,) = json.loads(found["manifest.json"])
    return json.loads(found[entry["Config"]])


def repo_tag(archive: bytes) -> str:
    (entry,) = json.loads(members(archive)["manifest.json"])
    (tag,) = entry["RepoTags"]
    return str(tag)


def root_of(archive: bytes) -> dict[str, tarfile.TarInfo]:
    """Return the members of the customisation layer by name."""
    found = members(archive)
    (entry,) = json.loads(found["manifest.json"])
    with tarfile.open(fileobj=io.BytesIO(found[entry["Layers"][-1]])) as tar:
        return {member.name: member for member in tar}


def stream(store: FakeStore, *arguments: str | Path) -> bytes:
    """Return the archive that ``lamina stream hello ARGUMENTS`` writes."""
    ran = run("stream", "hello", "--store", store.root, *arguments)
    assert ran.code == 0, ran.stderr
    return ran.stdout


def container(store: FakeStore, *arguments: str | Path) -> Any:
    return config_of(stream(store, *arguments))["config"]


# Help


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_of_every_verb_shows_an_example(verb: str, flag: str) -> None:
    ran = run(verb, flag)
    assert (ran.code, ran.stderr) == (0, "")
    assert re.search(rf"\n\nExamples?:\n  lamina {verb} ", ran.stdout.decode())


def test_the_help_of_all_lists_every_verb() -> None:
    text = run("--help").stdout.decode()
    assert [verb for verb in VERBS if f"\n  {verb} " in text] == list(VERBS)
    assert "\nExamples:\n  lamina stream" in text


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["--version", "x"]])
def test_the_version_is_printed(arguments: list[str]) -> None:
    assert run(*arguments).stdout.decode() == f"lamina {lamina.__version__}\n"


def test_every_flag_is_described() -> None:
    for verb, module in VERBS.items():
        for parameter in module.command.params:
            assert parameter.param_type_name == "argument" or getattr(parameter, "help", ""), (verb, parameter.name)


# stream


def test_stream_gives_an_archive_on_stdout_and_lines_on_stderr(store: FakeStore) -> None:
    ran = call("stream", "hello", "--store", store.root, "--max-layers", "3", "--tag", "1")
    assert ran.code == 0
    assert list(members(ran.stdout))[:3] == ["1.tar", "2.tar", "3.tar"]
    lines = ran.stderr.splitlines()
    assert lines[:3] == [
        "layer 1/3  libgreet-1.0 +2           20.0 KiB  packed",
        "layer 2/3  hello-2.12.1              10.0 KiB  packed",
        "layer 3/3  customisation layer       10.0 KiB  packed",
    ]
    assert re.fullmatch(r"hello:1  sha256:\w{12}  linux/\w+  3 layers  \S+ KiB  \S+ KiB written  [0-9.]+ s", lines[3])
    assert len(lines) == 4


def test_the_lines_of_nixpkgs_are_printed_if_they_are_asked_for(store: FakeStore) -> None:
    lines = call("stream", "hello", "--store", store.root, "--max-layers", "3", "--progress", "nix").stderr.splitlines()
    assert lines[0] == "No 'fromImage' provided"
    assert re.fullmatch(r"Creating layer 1 from paths: \['/nix/store/[^']+'(, '/nix/store/[^']+')*\]", lines[1])
    assert re.fullmatch(r"Creating layer 2 from paths: \['/nix/store/[^']+'(, '/nix/store/[^']+')*\]", lines[2])
    assert lines[3:] == ["Creating layer 3 with customisation...", "Adding manifests...", "Done."]


def test_quiet_prints_nothing(store: FakeStore) -> None:
    (Path("config.json")).write_text('{"Odd": 1}')
    ran = run(
        "stream", "hello", "--store", store.root, "--quiet", "--config", "config.json", "--extra-commands", "echo hi"
    )
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout


def test_warnings_and_the_output_of_scripts_are_printed(store: FakeStore) -> None:
    (Path("config.json")).write_text('{"Odd": 1, "cmd": ["x"]}')
    flags = ("--config", "config.json", "--extra-commands", "echo hi; echo there >&2")
    lines = run("stream", "hello", "--store", store.root, *flags).stderr.splitlines()
    assert lines[:4] == [
        "hi",
        "there",
        "lamina: warning: config: got key 'Odd', expected one of the image specification",
        "lamina: warning: config: got key 'cmd', expected one of the image specification; did you mean Cmd?",
    ]
    assert lines[4].startswith("layer 1/5  ")


def test_inputs_that_clash_are_a_warning_that_names_both(store: FakeStore) -> None:
    other = store.add("other-1", {"bin": {"hello": Program(b"x")}})
    ran = run("stream", "hello", "other", "--store", store.root)
    (warning,) = [line for line in ran.stderr.splitlines() if "warning" in line]
    assert warning.startswith("lamina: warning: /bin/hello: ")
    assert str(HELLO) in warning
    assert str(other) in warning


def test_the_result_of_stream_is_on_stderr(store: FakeStore) -> None:
    ran = run("stream", "hello", "--store", store.root, "--json", "--tag", "1")
    document = json.loads(ran.stderr)
    assert {"version", "id", "repo_tags", "layers", "warnings"} < document.keys()
    assert (document["version"], document["repo_tags"], document["file"]) == (1, ["hello:1"], None)
    assert document["bytes_written"] == len(ran.stdout)
    config = config_of(ran.stdout)
    assert [layer["diff_id"] for layer in document["layers"]] == config["rootfs"]["diff_ids"]


# build


def test_build_writes_a_file_and_prints_its_name(store: FakeStore) -> None:
    ran = run("build", "hello", "--store", store.root, "-o", "out.tar")
    assert (ran.code, ran.stdout) == (0, b"out.tar\n")
    size = Path("out.tar").stat().st_size >> 10
    assert re.search(rf"  5 layers  50\.0 KiB  {size}\.0 KiB written  \d+\.\d s$", ran.stderr.splitlines()[-1])
    assert Path("out.tar").read_bytes() == stream(store)


@pytest.mark.parametrize(
    ("name", "flags", "magic"),
    [
        ("x.tar", [], b"1.tar"),
        ("x.gz", [], b"\x1f\x8b"),
        ("x.tgz", [], b"\x1f\x8b"),
        ("x.tar.zst", [], b"\x28\xb5\x2f\xfd"),
        ("x", ["--compressor", "zstd"], b"\x28\xb5\x2f\xfd"),
        ("x.zst", ["--compressor", "none", "--jobs", "1"], b"1.tar"),
        ("-", [], b"1.tar"),
        ("-", ["--compressor", "gz", "--jobs", "3"], b"\x1f\x8b"),
    ],
)
def test_the_ending_or_the_flag_chooses_the_compressor(
    store: FakeStore, name: str, flags: list[str], magic: bytes
) -> None:
    ran = run("build", "hello", "--store", store.root, "-o", name, *flags)
    assert ran.code == 0, ran.stderr
    data = ran.stdout if name == "-" else Path(name).read_bytes()
    assert data.startswith(magic)


def test_the_results_of_build_and_inspect_agree(store: FakeStore) -> None:
    built = json.loads(run("build", "hello", "--store", store.root, "--json", "-o", "x.tar.gz").stdout)
    found = json.loads(run("inspect", "--json", "x.tar.gz").stdout)
    assert built["version"] == found["version"] == 1
    for key in ("id", "repo_tags", "layers"):
        assert built[key] == found[key]
    assert built["id"].startswith("sha256:")
    assert set(built["layers"][0]) == {"diff_id", "digest", "size", "paths"}


def test_the_result_of_a_build_to_stdout_is_on_stderr(store: FakeStore) -> None:
    ran = run("build", "hello", "--store", store.root, "--json", "-o", "-")
    assert json.loads(ran.stderr)["version"] == 1
    assert ran.stdout == stream(store)


def test_a_file_name_that_is_not_utf8_is_printed_unchanged(store: FakeStore) -> None:
    ran = run("build", "hello", "--store", store.root, "--quiet", "-o", "\udcff.tar")
    assert (ran.code, ran.stdout) == (0, b"\xff.tar\n")
    assert Path("\udcff.tar").exists()


# plan


def test_plan_prints_a_line_for_each_layer(store: FakeStore) -> None:
    ran = run("plan", "hello", "--store", store.root, "--max-layers", "3")
    heading, *lines, total = ran.stdout.decode().splitlines()
    assert (ran.code, ran.stderr) == (0, "")
    assert heading.split() == ["LAYER", "SIZE", "RATE", "PATHS", "WHY"]
    assert [line.split()[0] for line in lines] == ["1", "2"]
    assert [re.split("  +", line)[-1] for line in lines] == ["cost least together", "costs least alone"]
    assert re.fullmatch(r"2 layers, 4 store paths, [0-9.]+ (B|KiB)", total)


def test_the_plan_of_one_path_has_one_layer(store: FakeStore) -> None:
    ran = run("plan", "words", "--store", store.root)
    assert ran.stdout.decode().splitlines()[-1].startswith("1 layer, 1 store path, ")


def test_a_full_plan_prints_a_line_for_each_path(store: FakeStore) -> None:
    ran = run("plan", "hello", "--store", store.root, "--max-layers", "3", "--full")
    heading, *lines, _ = ran.stdout.decode().splitlines()
    assert heading.split() == ["LAYER", "SIZE", "RATE", "PATH", "WHY"]
    assert {line.split()[5] for line in lines} == {str(path) for path in store.numbers}


@pytest.mark.parametrize("layering", ["auto", "cost", "popularity"])
def test_plan_and_build_agree(store: FakeStore, layering: str) -> None:
    planned = json.loads(run("plan", "hello", "--store", store.root, "--json", "--layering", layering).stdout)
    built = json.loads(
        run("build", "hello", "--store", store.root, "--json", "--layering", layering, "-o", "x.tar").stdout
    )
    assert planned["version"] == 1
    assert [layer["paths"] for layer in planned["layers"]] == [layer["paths"] for layer in built["layers"][:-1]]
    assert all(isinstance(layer["nar_size"], int) and layer["reason"] for layer in planned["layers"])


def test_a_pipeline_decides_the_layers_of_plan_build_and_script(store: FakeStore) -> None:
    """The pipeline gives hello a layer of its own, and splits the paths that hello needs into layers of two."""
    calls = [["subcomponent_in", [str(HELLO)]], ["over", "rest", ["split_every", 2]]]
    Path("layers.json").write_text(json.dumps(calls))
    flags = ("hello", "--store", store.root, "--layering", "layers.json")
    planned = json.loads(run("plan", *flags, "--json").stdout)["layers"]
    assert [layer["reason"] for layer in planned] == [
        "main of subcomponent_in",
        "part 1 of split_every 2, in rest of subcomponent_in",
        "part 2 of split_every 2, in rest of subcomponent_in",
    ]
    assert planned[0]["paths"] == [str(HELLO)]
    built = json.loads(run("build", *flags, "--json", "-o", "x.tar").stdout)
    assert [layer["paths"] for layer in built["layers"][:-1]] == [layer["paths"] for layer in planned]
    Path("lamina.toml").write_text(f"[i]\ncontents = ['hello']\nlayeringPipeline = {json.dumps(calls)}\n")
    assert run("stream", "--spec", "lamina.toml", "--store", store.root).stdout == Path("x.tar").read_bytes()
    assert run("script", *flags, "-o", "x.sh").code == 0
    ran = subprocess.run(["./x.sh"], capture_output=True, check=True)
    assert ran.stdout == Path("x.tar").read_bytes()


def test_a_link_in_a_pipeline_is_the_store_path_it_leads_to(
    store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds for a flag, a spec file and Python. A link in a file is relative to the folder of that file."""
    (words,) = (str(path) for path in store.numbers if path.name == "words-2.1-data")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "result").symlink_to("again")
    (folder / "again").symlink_to(f"{words}/share")
    pipeline = [["split_paths", ["./result"]]]
    (folder / "pipeline.json").write_text(json.dumps(pipeline))
    (folder / "spec.toml").write_text(f'[x]\ncontents = ["hello"]\nlayering = {json.dumps(pipeline)}\n')
    flags = ("--store", store.root, "--json")

    def planned(*more: Any) -> tuple[list[list[str]], list[str]]:
        document = json.loads(run("plan", *flags, *more).stdout)
        return [layer["paths"] for layer in document["layers"]], document["warnings"]

    for working_folder, more in (
        (tmp_path, ("hello", "--layering", folder / "pipeline.json")),
        (tmp_path, ("--spec", folder / "spec.toml")),
        (folder, ("hello", "--layering", "./pipeline.json")),
        (folder, ("hello", "--layering", "pipeline.json")),
        (folder, ("--spec", "spec.toml")),
    ):
        monkeypatch.chdir(working_folder)
        layers, warnings = planned(*more)
        assert [words] in layers, more
        assert warnings == []
    monkeypatch.chdir(folder)
    made = lamina.plan_layered_image(contents=["hello"], store=str(store.root), layering=pipeline)
    assert [words] in [list(map(str, layer.paths)) for layer in made.layers]
    (folder / "result").unlink()
    (folder / "result").symlink_to(tmp_path)
    layers, (warning,) = planned("hello", "--layering", "pipeline.json")
    assert len(layers) == 1
    assert "[0] split_paths: got './result', which is not among the paths there" in warning
    built = run("build", "hello", "--store", store.root, "--layering", "pipeline.json", "-o", tmp_path / "x.tar")
    assert "split_paths: got './result'" in built.stderr


@pytest.mark.parametrize("inside", ["/", "/share", "//share/words/", "/not/there"])
def test_a_path_inside_a_store_path_in_a_pipeline_is_that_store_path(store: FakeStore, inside: str) -> None:
    (words,) = (str(path) for path in store.numbers if path.name == "words-2.1-data")
    for operation in ("split_paths", "subcomponent_in", "subcomponent_out"):
        made, expected = (
            lamina.plan_layered_image(contents=["hello"], store=str(store.root), layering=[[operation, [path]]])
            for path in (f"{words}{inside}", words)
        )
        assert made.warnings == ()
        assert [layer.paths for layer in made.layers] == [layer.paths for layer in expected.layers]


def test_a_path_in_a_pipeline_that_leads_out_of_a_store_path_stays_as_it_is(store: FakeStore) -> None:
    (words,) = (str(path) for path in store.numbers if path.name == "words-2.1-data")
    pipeline = [["split_paths", [f"{words}/../x"]]]
    (warning,) = lamina.plan_layered_image(contents=["hello"], store=str(store.root), layering=pipeline).warnings
    assert "/../x', which is not among the paths there" in warning


def test_a_pipeline_is_not_limited_by_max_layers(store: FakeStore) -> None:
    Path("layers").write_text('[["popularity_contest"]]')
    ran = run("plan", "hello", "--store", store.root, "--layering", "layers", "--max-layers", "1")
    assert ran.stdout.decode().splitlines()[-1].startswith("4 layers, 4 store paths, ")


def test_the_error_for_an_unknown_layering_lists_the_known_ones(store: FakeStore) -> None:
    ran = run("plan", "hello", "--store", store.root, "--layering", "best")
    assert (ran.code, ran.stdout) == (2, b"")
    known = ", ".join(STRATEGY_NAMES)
    assert f"got 'best', expected one of {known}, a pipeline, or a JSON file that holds one" in ran.error


def test_plan_needs_only_a_graph(store: FakeStore) -> None:
    write_graph(store, Path("graph.json"))
    expected = run("plan", "hello", "--store", store.root).stdout
    store.root.rename("elsewhere")
    assert run("plan", "hello", "--store", "graph.json").stdout == expected
    assert run("plan", HELLO.hash and str(HELLO), "--store", "graph.json").stdout == expected


def test_plan_runs_no_script(store: FakeStore) -> None:
    Path("lamina.toml").write_text('[x]\ncontents = ["hello"]\nextraCommands = "touch ran; exit 1"\n', encoding="utf-8")
    ran = run("plan", "--spec", "lamina.toml", "--store", store.root)
    assert ran.code == 0, ran.stderr
    assert not Path("ran").exists()


# inspect


def test_inspect_prints_the_name_the_platform_and_the_layers_of_an_archive(store: FakeStore) -> None:
    run("build", "hello", "--store", store.root, "--tag", "1", "-o", "x.tar", "--architecture", "arm64")
    above, below = run("inspect", "x.tar").stdout.decode().split("\n\n")
    title, *fields = above.splitlines()
    heading, *layers = below.splitlines()
    assert (title, heading.split()) == ("hello:1", ["LAYER", "SIZE", "DIFF", "ID", "PATHS"])
    assert re.fullmatch(r"  id        sha256:[0-9a-f]{12}", fields[0])
    assert fields[1] == "  platform  linux/arm64"
    assert fields[-1] == "  layers    5"
    assert re.fullmatch(r"    1  [0-9.]+ KiB  sha256:[0-9a-f]{12}  \S+", layers[0])
    assert layers[-1].endswith("  no store paths")


def test_plan_and_inspect_call_a_layer_by_its_largest_path(store: FakeStore) -> None:
    flags = ("hello", "--store", store.root, "--max-layers", "3")
    planned = run("plan", *flags).stdout.decode().splitlines()[1:-1]
    run("build", *flags, "-o", "x.tar")
    inspected = run("inspect", "x.tar").stdout.decode().split("\n\n")[1].splitlines()[1:-1]
    assert [re.split("  +", line)[-2] for line in planned] == [re.split("  +", line)[-1] for line in inspected]
    assert any(line.endswith(" +2") for line in inspected)


def test_inspect_prints_whole_digests_and_store_paths_if_asked(store: FakeStore) -> None:
    run("build", "hello", "--store", store.root, "--max-layers", "3", "-o", "x.tar")
    document = json.loads(run("inspect", "x.tar", "--json").stdout)
    lines = run("inspect", "x.tar", "--full").stdout.decode().splitlines()
    assert f"  id        {document['id']}" in lines
    assert {line.split()[-1] for line in lines if "/nix/store/" in line} == {str(path) for path in store.numbers}
    for listed in document["layers"]:
        assert sum(f"{listed['diff_id']}  {listed['digest']}  " in line for line in lines) == 1


def test_inspect_shows_the_config(store: FakeStore) -> None:
    run("build", "hello", "--store", store.root, "--cmd", "a b", "--created", "2020-01-01", "-o", "x.tar")
    document = json.loads(run("inspect", "x.tar", "--json").stdout)
    assert document["config"] == {"Cmd": ["a", "b"]}
    assert document["created"] == "2020-01-01T00:00:00+00:00"


def test_inspect_shows_the_platforms_of_a_layout(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    made = [
        layout.image([layer(name)], config_more={"architecture": name}, platform=platform(name))
        for name in ("arm64", "amd64")
    ]
    layout.index(layout.nested(made, annotations={"org.opencontainers.image.ref.name": "x:1"}))
    layout.write(tmp_path / "layout")
    document = json.loads(run("inspect", "--json", tmp_path / "layout").stdout)
    first, other = document["images"]
    assert document["others"] == [other]
    assert all(document[key] == value for key, value in first.items())
    assert [item["platform"] for item in (document, other)] == ["linux/arm64", "linux/amd64"]
    assert [item["architecture"] for item in (document, other)] == ["arm64", "amd64"]
    assert document["repo_tags"] == other["repo_tags"] == ["x:1"]
    layout.index(made[0])
    (tmp_path / "image.tar").write_bytes(layout.tar())
    document = json.loads(run("inspect", "--json", tmp_path / "image.tar").stdout)
    assert (document["platform"], document["others"]) == ("linux/arm64", [])
    assert document["images"] == [{key: document[key] for key in document["images"][0]}]
    lines = run("inspect", tmp_path / "image.tar").stdout.decode().splitlines()
    assert lines[0] == "no name"
    assert lines[2] == "  platform  linux/arm64"


@pytest.mark.parametrize(("verb", "more"), [("inspect", ()), ("merge", ("-o", "-")), ("export", ("-o", "-"))])
def test_invalid_images_have_their_exit_codes(tmp_path: Path, verb: str, more: tuple[str, ...]) -> None:
    honest = docker_archive({"1.tar": layer("honest")})
    for content, code in (
        (b"garbage" * 1000, 3),
        (honest[:2000], 3),
        (docker_archive({"1.tar": layer("../out")}), 3),
        (honest.replace(b"honest", b"crooks"), 6),
    ):
        (tmp_path / "image.tar").write_bytes(content)
        ran = run(verb, tmp_path / "image.tar", *more)
        assert (ran.code, ran.stdout) == (code, b"")
        assert f"lamina: {tmp_path}/image.tar: " in ran.stderr
    assert run(verb, tmp_path / "missing", *more).code == 11


def test_a_tag_of_control_characters_does_not_reach_the_terminal(tmp_path: Path) -> None:
    config = b'{"os": "\\u001b[2J", "rootfs": {"diff_ids": []}}'
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": ["a\nb\x1b[2J\ud800"], "Layers": []}]).encode()
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for member, content in ((name, config), ("manifest.json", manifest)):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    ran = run("inspect", tmp_path / "x.tar")
    assert ran.code == 0, ran.stderr
    assert ran.stdout.splitlines()[0] == b"a\\nb\\x1b[2J\\ud800"
    assert b"\x1b" not in ran.stdout


# What a ROOT is


@pytest.mark.parametrize(
    "root", [str(HELLO), f"{HELLO}/", "hello", "hello-2.12.1", "result", "./result", "chain", "./dir/up"]
)
def test_a_root_is_a_path_a_name_or_a_link(store: FakeStore, root: str) -> None:
    Path("result").symlink_to(str(HELLO))
    Path("chain").symlink_to("./result")
    Path("dir").mkdir()
    Path("dir/up").symlink_to("../chain")
    text = f"./{root}" if root in ("result", "chain") else root
    expected = stream(store)
    assert run("stream", text, "--store", store.root).stdout == expected


def test_a_folder_inside_a_path_is_linked_as_given(store: FakeStore) -> None:
    Path("result").symlink_to(str(HELLO))
    for root in (f"{HELLO}/bin", "./result/bin"):
        ran = run("stream", root, "--store", store.root)
        assert set(root_of(ran.stdout)) == {".", "./hello"}
        assert root_of(ran.stdout)["./hello"].linkname == f"{HELLO}/bin/hello"
        assert repo_tag(ran.stdout).startswith("hello:")


def test_a_closure_joins_and_links_nothing(store: FakeStore) -> None:
    ran = run("stream", "--closure", "hello", "--store", store.root, "--name", "x")
    assert set(root_of(ran.stdout)) == {"."}
    assert len(members(ran.stdout)) == 7


def test_no_root_is_needed_if_the_config_names_a_path(store: FakeStore) -> None:
    ran = run("stream", "--name", "x", "--cmd", f"{HELLO}/bin/hello", "--store", store.root)
    assert len(members(ran.stdout)) == 7


def test_without_store_paths_the_customisation_layer_is_the_only_layer(store: FakeStore) -> None:
    archive = stream(store, "--no-store-paths")
    assert len(members(archive)) == 3
    assert "./bin/hello" in root_of(archive)


def test_the_machines_store_is_the_default(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.stores.open.MACHINE", store.root)
    assert run("stream", "hello").stdout == stream(store)


def test_several_stores_are_asked_in_turn(store: FakeStore, tmp_path: Path) -> None:
    other = FakeStore(tmp_path / "other")
    other.add("extra-1", {"x": b""})
    ran = run("plan", "hello", "extra", "--store", store.root, "--store", other.root, "--full")
    assert ran.stdout.decode().count("/nix/store/") == 5


# The config


def test_flags_make_the_config(store: FakeStore) -> None:
    flags = [
        *("--cmd", '["/bin/hello", "a b"]'),
        *("--entrypoint", "/bin/sh -c 'x y'"),
        *("--env", "A=1", "--env", "B=x=y", "--env", "C="),
        *("--user", "1000:100", "--workdir", "/srv", "--stop-signal", "SIGINT"),
        *("--expose", "80", "--expose", "53/udp"),
        *("--volume", "/data", "--volume", "/a b"),
        *("--label", "k=v", "--label", "x=y=z", "--label", "e="),
    ]
    assert container(store, *flags) == {
        "Cmd": ["/bin/hello", "a b"],
        "Entrypoint": ["/bin/sh", "-c", "x y"],
        "Env": ["A=1", "B=x=y", "C="],
        "ExposedPorts": {"53/udp": {}, "80/tcp": {}},
        "Labels": {"e": "", "k": "v", "x": "y=z"},
        "StopSignal": "SIGINT",
        "User": "1000:100",
        "Volumes": {"/a b": {}, "/data": {}},
        "WorkingDir": "/srv",
    }


def test_flags_override_a_config_file(store: FakeStore) -> None:
    config = {"Cmd": ["old"], "Env": ["A=1"], "Labels": {"k": "old", "l": "kept"}, "User": None, "Volumes": None}
    Path("config.json").write_text(json.dumps(config))
    flags = ["--config", "config.json", "--cmd", "new", "--env", "B=2", "--label", "k=new", "--volume", "/v"]
    assert container(store, *flags) == {
        "Cmd": ["new"],
        "Env": ["A=1", "B=2"],
        "Labels": {"k": "new", "l": "kept"},
        "User": None,
        "Volumes": {"/v": {}},
    }


def test_flags_fill_keys_that_are_null_in_a_config_file(store: FakeStore) -> None:
    Path("config.json").write_text('{"Env": null, "Labels": null, "ExposedPorts": null, "Cmd": null}')
    flags = ["--config", "config.json", "--env", "A=1", "--label", "k=v", "--expose", "1"]
    expected: Any = {"Cmd": None, "Env": ["A=1"], "ExposedPorts": {"1/tcp": {}}, "Labels": {"k": "v"}}
    assert container(store, *flags) == expected


def test_name_tag_dates_and_owner_come_from_flags(store: FakeStore) -> None:
    flags = ["--name", "Host.example:5000/A/b", "--tag", "V1", "--created", "2020-01-01", "--mtime", "2021-01-01"]
    archive = stream(
        store, *flags, "--uid", "7", "--gid", "8", "--uname", "u", "--gname", "g", "--architecture", "s390x"
    )
    assert repo_tag(archive) == "host.example:5000/a/b:V1"
    config = config_of(archive)
    assert (config["created"], config["architecture"]) == ("2020-01-01T00:00:00+00:00", "s390x")
    with tarfile.open(fileobj=io.BytesIO(members(archive)["1.tar"])) as layer:
        for member in layer:
            assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (7, 8, "u", "g", 1609459200)
    assert {(item.uid, item.mtime) for item in root_of(archive).values()} == {(0, 315532800)}


def test_source_date_epoch_is_the_default_of_created_alone(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = members(stream(store))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    archive = stream(store)
    assert config_of(archive)["created"] == "1970-01-02T00:00:00+00:00"
    assert {name: data for name, data in members(archive).items() if name.endswith(".tar")} == {
        name: data for name, data in plain.items() if name.endswith(".tar")
    }
    assert config_of(stream(store, "--created", "2020-01-01"))["created"] == "2020-01-01T00:00:00+00:00"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "")
    assert config_of(stream(store))["created"] == "1970-01-01T00:00:01+00:00"


def test_declared_entries_are_made_last(store: FakeStore) -> None:
    Path("source").write_bytes(b"x")
    flags = [
        *("--extra-commands", "mkdir made; echo > made/file"),
        *("--dir", "/tmp:1777", "--dir", "/home/app:700:5:6"),
        *("--file", "/etc/conf=source:600", "--symlink", "/l=x y"),
        *("--perm", "/made/file:4711:1:2", "--perm", "/:711"),
    ]
    found = {
        name: (oct(item.mode), item.uid, item.gid, item.linkname)
        for name, item in root_of(stream(store, *flags)).items()
        if name.split("/")[-1] not in ("bin", "hello", "share")
    }
    assert found == {
        ".": ("0o711", 0, 0, ""),
        "./etc": ("0o755", 0, 0, ""),
        "./etc/conf": ("0o600", 0, 0, ""),
        "./home": ("0o755", 0, 0, ""),
        "./home/app": ("0o700", 5, 6, ""),
        "./l": ("0o777", 0, 0, "x y"),
        "./made": ("0o755", 0, 0, ""),
        "./made/file": ("0o4711", 1, 2, ""),
        "./tmp": ("0o1777", 0, 0, ""),
    }


def test_a_layer_cache_without_a_name_is_refused(store: FakeStore) -> None:
    ran = run("stream", "hello", "--store", store.root, "--layer-cache", "")
    assert ran.code == 2
    assert ran.stderr.startswith("lamina: --layer-cache: got '', expected")


def test_no_layer_cache_wins_over_layer_cache(store: FakeStore) -> None:
    assert stream(store, "--layer-cache", "layer-cache.db", "--no-layer-cache") == stream(store)
    assert not Path("layer-cache.db").exists()


# Spec files

SPEC = """
[hello]
contents = ["hello"]
tag = "latest"
config.Cmd = ["/bin/hello"]

[other]
contents = "sh"
name = "Other"
maxLayers = 2
extraCommands = "mkdir etc"
includeStorePaths = true
layeringPipeline = "popularity"
uid = 1000
compressor = "gz"
jobs = 2
store = ["root"]
tree = [{ dir = "/tmp:1777" }, { file = "/f=source:600" }, { symlink = "/l=f" }, { perm = "/etc:700" }]
created = 2020-01-01T00:00:00Z
"""


@pytest.fixture
def spec(store: FakeStore) -> Path:
    Path("source").write_bytes(b"x")
    Path("lamina.toml").write_text(SPEC)
    return Path("lamina.toml").absolute()


def test_a_spec_file_gives_the_same_image_as_flags(store: FakeStore, spec: Path) -> None:
    ran = run("build", "--spec", f"{spec}#hello", "--store", store.root, "-o", "x.tar")
    assert ran.code == 0, ran.stderr
    assert Path("x.tar").read_bytes() == stream(store, "--tag", "latest", "--cmd", "/bin/hello")


def test_a_spec_file_takes_the_names_of_dockertools_and_works_from_any_folder(
    store: FakeStore, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    ran = run("build", "--spec", f"{spec}#other", "-o", "x.tar")
    assert ran.code == 0, ran.stderr
    data = Path("x.tar").read_bytes()
    assert data[:2] == b"\x1f\x8b"
    (found,) = lamina.inspect("x.tar")
    assert (found.repo_tags[0].partition(":")[0], len(found.layers)) == ("other", 2)
    assert found.config["created"] == "2020-01-01T00:00:00+00:00"
    plain = run("stream", "--spec", f"{spec}#other").stdout
    assert {name: oct(item.mode) for name, item in root_of(plain).items()} == {
        ".": "0o755",
        "./bin": "0o755",
        "./bin/sh": "0o777",
        "./etc": "0o700",
        "./f": "0o600",
        "./l": "0o777",
        "./tmp": "0o1777",
    }


def test_a_flag_wins_over_a_spec_file(store: FakeStore, spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    flags = ["--store", str(store.root), "--tag", "2", "--cmd", "x", "--user", "u", "--dir", "/d"]
    archive = run("stream", "--spec", f"{spec}#hello", *flags).stdout
    assert repo_tag(archive) == "hello:2"
    assert config_of(archive)["config"] == {"Cmd": ["x"], "User": "u"}
    assert "./d" in root_of(archive)
    archive = run("stream", "--spec", f"{spec}#other", "words", "--name", "w", "--max-layers", "5").stdout
    assert repo_tag(archive).startswith("w:")
    assert "./share" in root_of(archive)
    assert config_of(archive)["created"] == "2020-01-01T00:00:00+00:00"


def test_a_spec_file_may_be_json_and_needs_no_name_if_it_has_one_table(store: FakeStore) -> None:
    Path("one.json").write_text(json.dumps({"any": {"contents": ["hello"], "maxLayers": 3, "tag": "1"}}))
    assert run("stream", "--spec", "one.json", "--store", store.root).stdout == stream(
        store, "--tag", "1", "--max-layers", "3"
    )


def test_every_verb_takes_a_spec_file(store: FakeStore, spec: Path) -> None:
    flags = ["--spec", f"{spec}#hello", "--store", str(store.root)]
    assert b"4 store paths" in run("plan", *flags).stdout
    assert run("script", *flags, "-o", "script").code == 0
    assert subprocess.run(["./script"], capture_output=True, check=True).stdout == run("stream", *flags).stdout


# A terminal


def on_terminal(*arguments: str | Path, **variables: str) -> CompletedRun:
    """Run ``lamina ARGUMENTS`` with a terminal as its stderr."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "CI": "", **variables}
    with tempfile.TemporaryFile() as stdout:
        with process(*arguments, stdout=stdout, stderr=follower, env=environment) as running:
            os.close(follower)
            written = b""
            while data := _read(leader):
                written += data
        os.close(leader)
        stdout.seek(0)
        return CompletedRun(running.returncode, stdout.read(), written.decode())


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 1 << 16)
    except OSError:  # Linux reports EIO once no process has the terminal open
        return b""


def without_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.fixture
def large(store: FakeStore) -> Path:
    """A file in the store that is large enough for bars to be drawn."""
    file = store.location(store.add("large-1", b""))
    file.chmod(0o644)
    os.truncate(file, 300 << 20)
    with contextlib.closing(sqlite3.connect(store.database)) as database, database:
        database.execute("UPDATE ValidPaths SET narSize = ? WHERE path LIKE '%-large-1'", (300 << 20,))
    return file


def test_on_a_terminal_there_are_bars_and_a_summary_and_no_plain_lines(store: FakeStore, large: Path) -> None:
    flags = ("--store", store.root, "--closure", "large", "--tag", "1")
    ran = on_terminal("build", "hello", *flags, "-o", "/dev/null")
    text = without_escapes(ran.stderr)
    assert ran.code == 0
    assert "Creating layer" not in text
    assert "fromImage" not in text
    assert re.search(r"hello:1  ━* +\d+%  +[0-9.]+ \wi?B of +[0-9.]+ MiB .* \d/6 layers", text)
    assert re.search(r"  large-1 +[0-9.]+ \w+ of +[0-9.]+ MiB", text)
    summary = r"hello:1  sha256:[0-9a-f]{12}  linux/\w+  6 layers  300 MiB  300 MiB written  [0-9.]+ s\r\n$"
    assert re.search(summary, text)
    assert ran.stderr.rindex("\x1b[?25h") > ran.stderr.rindex("\x1b[?25l")


@pytest.mark.parametrize("width", mark_rest([60, 80], 1))
def test_on_a_narrow_terminal_nothing_wraps(store: FakeStore, large: Path, width: int) -> None:
    flags = ("--store", store.root, "--closure", "large", "--tag", "1", "-o", "/dev/null")
    ran = on_terminal("build", "hello", *flags, COLUMNS=str(width))
    lines = [part for line in without_escapes(ran.stderr).split("\n") for part in line.split("\r")]
    assert any("large-1" in line for line in lines), "a layer was being written"
    assert max(map(len, lines)) <= width
    summary = [line for line in lines if line][-2:]
    assert summary[0].startswith("hello:1  sha256:")
    assert re.fullmatch(r"  300 MiB written  [0-9.]+ s", summary[1])


def test_bars_are_drawn_for_a_stream_too(store: FakeStore) -> None:
    ran = on_terminal("stream", "hello", "--store", store.root)
    assert "Creating layer" not in ran.stderr
    assert ran.stdout == stream(store)


def test_nix_progress_has_the_lines_of_nixpkgs_on_a_terminal_too(store: FakeStore) -> None:
    ran = on_terminal("build", "hello", "--store", store.root, "--progress", "nix", "-o", "x.tar")
    assert ran.stderr.startswith("No 'fromImage' provided\r\nCreating layer 1 ")
    assert ran.stderr.endswith("Adding manifests...\r\nDone.\r\n")
    assert "\x1b" not in ran.stderr


@pytest.mark.parametrize(
    ("words", "environment"),
    mark_rest(
        [
            (["--progress", "lines"], {}),
            (["--progress", "plain"], {}),
            ([], {"TERM": "dumb"}),
            ([], {"CI": "true"}),
            (["--progress", "bars"], {"TERM": "dumb"}),
        ],
        2,
    ),
)
def test_without_bars_each_layer_has_a_line_and_the_image_a_summary(
    store: FakeStore, words: list[str], environment: dict[str, str]
) -> None:
    ran = on_terminal("build", "hello", "--store", store.root, "--tag", "1", "-o", "x.tar", *words, **environment)
    assert ran.code == 0
    lines = without_escapes(ran.stderr).split("\r\n")
    assert "\x1b" not in ran.stderr
    assert lines[4] == "layer 5/5  customisation layer       10.0 KiB  packed"
    assert lines[5].startswith("hello:1  sha256:")
    assert all(re.fullmatch(rf"layer {number}/5  \S+ +\S+ KiB  packed", lines[number - 1]) for number in range(1, 5))


def test_in_ci_bars_are_drawn_if_the_user_asks_for_them(store: FakeStore) -> None:
    flags = ("hello", "--store", store.root, "-o", "x.tar")
    assert "\x1b" in on_terminal("build", *flags, "--progress", "bars", CI="true").stderr
    assert "\x1b" in on_terminal("build", *flags, CI="false").stderr


@pytest.mark.parametrize("flag", ["--quiet", "--json"])
def test_quiet_and_json_draw_nothing(store: FakeStore, flag: str) -> None:
    ran = on_terminal("build", "hello", "--store", store.root, flag, "-o", "x.tar")
    assert (ran.code, ran.stderr) == (0, "")


def test_an_error_leaves_the_terminal_as_it_was(store: FakeStore, large: Path) -> None:
    flags = ("--store", store.root, "--name", "x", "--closure", "large")
    ran = on_terminal("build", *flags, "-o", "/dev/full")
    assert ran.code == 10
    assert ran.stderr.rindex("\x1b[?25h") > ran.stderr.rindex("\x1b[?25l")
    assert without_escapes(ran.stderr).splitlines()[-1].startswith("lamina: /dev/full: got No space left on device")


def test_a_store_path_that_is_a_link_is_packed_as_one(store: FakeStore) -> None:
    link = store.add("profile-1", SymlinkTo(str(HELLO)), [HELLO])
    Path("current").symlink_to(str(link))
    archive = run("stream", "./current", "--store", store.root).stdout
    assert root_of(archive)["./bin/hello"].linkname == f"{link}/bin/hello"


def test_a_name_that_is_not_utf8_is_not_found_in_the_store(tmp_path: Path) -> None:
    store, _ = example(tmp_path / "root")
    ran = run("plan", "a\udcff", "--store", store.root)
    assert ran.code == 5
    assert "got no valid path of that name" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "others"),
    [
        (["--version"], {"typing", "click", "lamina.errors", "lamina.cli.exits"}),
        (
            ["stream", "--help"],
            {"lamina.api.images", "lamina.system.transfer", "lamina.core.names", "sqlite3", "rich", "lamina.layering"},
        ),
    ],
)
def test_nothing_is_imported_before_it_is_used(arguments: list[str], others: set[str]) -> None:
    """Every import lengthens the start of the program."""
    program = "import sys; from lamina.cli.main import main\ntry: main()\nexcept SystemExit: pass\n"
    program += "sys.stderr.write('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        check=True,
    )
    assert done.stdout
    assert not others & set(done.stderr.split())


def test_scripts_are_confined_without_no_sandbox(store: FakeStore, tmp_path: Path) -> None:
    flags = ("--no-layer-cache", "--quiet", "--extra-commands", "pwd; exit 3", "-o", tmp_path / "image.tar")
    confined = run("build", "hello", "--store", store.root, *flags)
    assert confined.code == 9
    assert confined.stderr.startswith("/build/root\n")
    unconfined = run("build", "hello", "--store", store.root, "--no-sandbox", *flags)
    assert unconfined.code == 9
    assert unconfined.stderr.startswith(f"{tempfile.gettempdir()}/lamina-")
