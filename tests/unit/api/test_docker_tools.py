"""The steps of dockerTools give the image that is also made in one step."""

import bz2
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, example

import lamina
from lamina.api.docker_tools import build_customisation_layer, detect_compressor, export_first_image, plan_conf
from lamina.compression import libraries
from lamina.core.names import StorePath
from lamina.errors import FormatError, InputError, InvalidArgument, NotFound, OutputError, PlanError

BASE: dict[str, Any] = {"architecture": "amd64", "config": {"Cmd": ["/bin/hello"]}, "os": "linux"}
NAME: Any = {"name": "hello", "tag": "1"}


@dataclass
class Steps:
    """A store in ``folder`` to which the results of the steps are added, as Nix adds them."""

    store: FakeStore
    hello: StorePath

    @property
    def folder(self) -> str:
        return str(self.store.root)

    def build_layer(self, **arguments: Any) -> StorePath:
        """Build the customisation layer of hello, and add it to the store."""
        output = self.store.location(StorePath(f"{'1' * 32}-hello-customisation-layer"))
        arguments = {"contents": [str(self.hello)], "config": BASE["config"], "store": self.folder, **arguments}
        build_customisation_layer(output, **arguments)
        layer = StorePath(output.name)
        self.store.register(layer, [self.hello, *self.mentioned(output / "layer.tar")])
        return layer

    def mentioned(self, file: Path) -> list[StorePath]:
        """Return the other store paths whose hashes are in ``file``."""
        data = file.read_bytes()
        return [path for path in self.store.numbers if path != self.hello and path.hash.encode() in data]

    def add_base(self, **changes: Any) -> StorePath:
        """Add a base.json to the store."""
        return self.store.add("hello-base.json", json.dumps(BASE | changes).encode())


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps(*example(tmp_path / "root"))


@pytest.mark.parametrize("arguments", [{}, {"extra_commands": "mkdir etc; echo x > etc/x"}, {"include_nix_db": True}])
def test_the_three_steps_give_the_image_that_is_made_in_one(
    steps: Steps, tmp_path: Path, arguments: dict[str, Any]
) -> None:
    layer, base = steps.build_layer(**arguments), steps.add_base()
    has_database = "include_nix_db" in arguments
    conf = plan_conf(str(base), str(layer), store=steps.folder, include_nix_db=has_database, **NAME)
    (tmp_path / "conf.json").write_text(conf.text)
    made = lamina.stream_conf(tmp_path / "conf.json", store=steps.folder).build(tmp_path / "steps.tar")
    once = lamina.build_layered_image(
        output=tmp_path / "once.tar",
        contents=[str(steps.hello)],
        config=BASE["config"],
        architecture="amd64",
        store=steps.folder,
        **NAME,
        **arguments,
    )
    assert [layer.diff_id for layer in made.layers] == [layer.diff_id for layer in once.layers]
    assert [str(path) for plan in conf.layers for path in plan.paths] == [
        path for paths in json.loads(conf.text)["store_layers"] for path in paths
    ]


def test_a_layer_is_written_with_its_checksum(steps: Steps, tmp_path: Path) -> None:
    arguments: Any = {"contents": [str(steps.hello)], "store": steps.folder, "extra_commands": "echo said; echo x > x"}
    built = build_customisation_layer(tmp_path / "layer", **arguments)
    assert (tmp_path / "layer/checksum").read_text() == f"{built.diff_id.hex}\n"
    assert built.script_output == "said\n"
    assert b"/x" in (tmp_path / "layer/layer.tar").read_bytes()
    with pytest.raises(OutputError):
        build_customisation_layer(tmp_path / "layer", **arguments)


def test_a_content_that_ends_in_nix_is_a_store_path_and_not_built(steps: Steps, tmp_path: Path) -> None:
    expression = steps.store.add("default.nix", {"file": b"x"})
    built = build_customisation_layer(
        tmp_path / "layer", contents=[str(expression)], store=steps.folder, search_path="/nowhere"
    )
    assert not built.warnings


def test_a_conf_has_the_arguments_of_the_image(steps: Steps) -> None:
    layer, base = steps.build_layer(), steps.add_base(architecture="aarch64")
    arguments: Any = {"created": "now", "mtime": "2024-02-03T04:05:06Z", "uid": 1000, "gid": "100", "max_layers": 3}
    conf = plan_conf(str(base), str(layer), store=steps.folder, uname="user", gname="users", **NAME, **arguments)
    document = json.loads(conf.text)
    assert len(document.pop("store_layers")) == len(conf.layers)
    assert document == {
        **BASE,
        "architecture": "arm64",
        "store_dir": "/nix/store",
        "from_image": None,
        "customisation_layer": str(layer),
        "repo_tag": "hello:1",
        "created": "now",
        "mtime": "2024-02-03T04:05:06+00:00",
        "uid": "1000",
        "gid": "100",
        "uname": "user",
        "gname": "users",
    }
    words = (
        "^usedLayers 1 layers to store 'fromImage' and 'extraCommands', but only maxLayers=1 were allowed. At least 1 "
    )
    with pytest.raises(PlanError, match=words):
        plan_conf(str(base), str(layer), store=steps.folder, max_layers=1, **NAME)


def test_a_duration_in_a_config_that_stays_as_it_is_is_refused(steps: Steps) -> None:
    layer, base = steps.build_layer(), steps.add_base(config={"Healthcheck": {"Interval": "30s"}})
    with pytest.raises(InvalidArgument, match=r"config\.Healthcheck\.Interval: got '30s'"):
        plan_conf(str(base), str(layer), store=steps.folder, **NAME)


def test_without_store_paths_no_layer_is_planned(steps: Steps) -> None:
    layer, base = steps.build_layer(), steps.add_base()
    conf = plan_conf(str(base), str(layer), store=steps.folder, include_store_paths=False, **NAME)
    assert (conf.layers, json.loads(conf.text)["store_layers"]) == ((), [])


def test_the_steps_themselves_are_in_no_layer_and_warnings_are_returned(steps: Steps) -> None:
    layer, base = steps.build_layer(), steps.add_base()
    pipeline = [["split_paths", [f"/nix/store/{'0' * 32}-nothing"]], ["flatten"]]
    conf = plan_conf(str(base), str(layer), store=steps.folder, layering=pipeline, **NAME)
    planned = {path for plan in conf.layers for path in plan.paths}
    assert steps.hello in planned
    assert not planned & {layer, base}
    assert "which is not among the paths there" in conf.warnings[0]


def test_a_reference_of_the_database_alone_is_in_no_layer(steps: Steps) -> None:
    layer = steps.build_layer(include_nix_db=True)
    other = steps.store.add("other-1.0", b"registered in the base image, and mentioned in the database")
    tar = steps.store.location(layer) / "layer.tar"
    before, database = tar.read_bytes().split(b"SQLite format 3", 1)
    tar.chmod(0o644)
    tar.write_bytes(before + b"SQLite format 3" + database.replace(steps.hello.hash.encode(), other.hash.encode(), 1))
    with steps.store.writing() as rows:
        rows.execute("INSERT INTO Refs VALUES (?, ?)", (steps.store.numbers[layer], steps.store.numbers[other]))
    base = steps.add_base()
    planned = []
    for has_database in (True, False):
        conf = plan_conf(str(base), str(layer), store=steps.folder, include_nix_db=has_database, **NAME)
        planned.append({path for plan in conf.layers for path in plan.paths})
    assert planned[1] - planned[0] == {other}
    assert steps.hello in planned[0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"architecture": "amd64"}'])
def test_a_base_json_without_its_fields_is_refused(steps: Steps, text: str) -> None:
    layer, base = steps.build_layer(), steps.store.add("bad-base.json", text.encode())
    with pytest.raises(FormatError, match=r"-bad-base\.json: got "):
        plan_conf(str(base), str(layer), store=steps.folder, **NAME)


def test_a_conf_needs_a_name_a_tag_and_both_paths(steps: Steps) -> None:
    layer, base = steps.build_layer(include_nix_db=True), steps.add_base()
    names: list[Any] = [{}, {"name": "hello"}, {"tag": "1"}]
    for name in names:
        with pytest.raises(FormatError, match=r"got repo_tag '.*', expected NAME:TAG"):
            plan_conf(str(base), str(layer), store=steps.folder, **name)
    with pytest.raises(NotFound, match=r"got no file layer\.tar, expected one"):
        plan_conf(str(base), str(steps.hello), store=steps.folder, include_nix_db=True, **NAME)
    with pytest.raises(InvalidArgument):
        plan_conf("base.json", str(layer), store=steps.folder, **NAME)


# --- image files


def test_the_first_image_or_the_one_named_is_exported(steps: Steps, tmp_path: Path) -> None:
    arguments: Any = {"contents": [str(steps.hello)], "store": steps.folder, "architecture": "amd64"}
    for name in ("one", "two"):
        lamina.build_layered_image(output=tmp_path / name, name=name, tag="1", config={"User": name}, **arguments)
    both = tmp_path / "both"
    lamina.merge_images([tmp_path / "one", tmp_path / "two"], output=both)
    assert export_first_image(both, output=tmp_path / "first").repo_tags == ("one:1",)
    assert export_first_image(both, output=tmp_path / "named", name="two:1").repo_tags == ("two:1",)
    lamina.export_image(both, output=tmp_path / "exported.tar", name="two:1")
    assert (tmp_path / "named").read_bytes() == (tmp_path / "exported.tar").read_bytes()
    with pytest.raises(NotFound, match=r"got no image three:1, expected one of one:1, two:1"):
        export_first_image(both, output=tmp_path / "third", name="three:1")
    assert not (tmp_path / "third").exists()


def test_the_compressor_of_an_image_is_detected(tmp_path: Path) -> None:
    compressed = {
        "none": b"x" * 512,
        "gz": gzip.compress(b"x"),
        "zstd": libraries.zstd().compress(b"x"),
        "none, because lamina has no bzip2": bz2.compress(b"x"),
    }
    for expected, data in compressed.items():
        (tmp_path / "image").write_bytes(data)
        assert detect_compressor(tmp_path / "image") == expected.partition(",")[0]
    with pytest.raises(InputError):
        detect_compressor(tmp_path / "missing")
