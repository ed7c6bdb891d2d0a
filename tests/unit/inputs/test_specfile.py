"""The spec file: TOML or JSON, dockerTools' words or Python's."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lamina.errors import FormatError, InputError, InvalidArgument
from lamina.inputs import specfile
from lamina.inputs.spec import Spec
from lamina.layering import Pipeline


def load(table: str) -> dict[str, Any]:
    return specfile.load(table).arguments


def load_all(file: str) -> dict[str, dict[str, Any]]:
    return {name: table.arguments for name, table in specfile.load_all(file).items()}


def toml(folder: Path, text: str) -> str:
    (folder / "lamina.toml").write_text(text, encoding="utf-8")
    return str(folder / "lamina.toml")


def as_json(folder: Path, document: Any) -> str:
    (folder / "lamina.json").write_text(json.dumps(document), encoding="utf-8")
    return str(folder / "lamina.json")


def test_the_example_of_the_module(tmp_path: Path) -> None:
    file = toml(
        tmp_path,
        """
        [hello]
        contents = ["hello"]
        config.Cmd = ["/bin/hello"]
        maxLayers = 20
        tree = [{ dir = "/tmp:1777" }]
        """,
    )
    expected = {
        "contents": ["hello"],
        "config": {"Cmd": ["/bin/hello"]},
        "max_layers": 20,
        "tree": [{"dir": "/tmp:1777"}],
    }
    assert load(f"{file}#hello") == load(file) == load(f"{file}#") == expected
    assert Spec.parse(expected).max_layers == 20


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("name", "name"),
        ("tag", "tag"),
        ("contents", "contents"),
        ("config", "config"),
        ("architecture", "architecture"),
        ("created", "created"),
        ("mtime", "mtime"),
        ("uid", "uid"),
        ("gid", "gid"),
        ("uname", "uname"),
        ("gname", "gname"),
        ("maxLayers", "max_layers"),
        ("layeringPipeline", "layering"),
        ("extraCommands", "extra_commands"),
        ("includeStorePaths", "include_store_paths"),
        ("compressor", "compressor"),
    ],
)
def test_an_argument_has_either_spelling(theirs: str, ours: str, tmp_path: Path) -> None:
    """A table's keys are dockerTools' names or Python's."""
    for key in (theirs, ours):
        assert load(as_json(tmp_path, {"image": {key: ["value"]}})) == {ours: ["value"]}


def test_a_root_that_is_a_path_begins_where_the_file_is(tmp_path: Path) -> None:
    contents = ["./result", "sub/link", "/nix/store/x", "hello"]
    loaded = load(as_json(tmp_path, {"image": {"contents": contents}}))
    assert loaded == {"contents": [f"{tmp_path}/result", f"{tmp_path}/sub/link", "/nix/store/x", "hello"]}


def test_an_argument_has_one_spelling_at_a_time(tmp_path: Path) -> None:
    for keys in (("maxLayers", "max_layers"), ("layering", "layeringPipeline")):
        with pytest.raises(InvalidArgument, match=f"got argument '{keys[1]}' after another spelling of it"):
            load(as_json(tmp_path, {"image": dict.fromkeys(keys, 5)}))


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("content", "did you mean contents?"),
        ("max-layers", "did you mean max_layers?"),
        ("MaxLayers", "did you mean max_layers?"),
        ("fromimage", "did you mean from_image?"),
        ("layeringPipelin", "did you mean layeringPipeline?"),
        ("fooBar", "lamina build --help lists the arguments, as options"),
        ("", "lamina build --help lists the arguments, as options"),
    ],
)
def test_an_unknown_argument_suggests_a_known_one(key: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        load(as_json(tmp_path, {"image": {key: 1}}))
    assert f"got argument {key!r}, expected an argument of an image" in str(caught.value)
    assert caught.value.hint == hint


def test_an_unknown_image_suggests_a_known_one(tmp_path: Path) -> None:
    file = as_json(tmp_path, {"hello": {"contents": []}, "server": {"contents": []}})
    with pytest.raises(InvalidArgument, match="got image 'helo', expected one of hello, server") as caught:
        load(f"{file}#helo")
    assert caught.value.hint == "did you mean hello?"


@pytest.mark.parametrize("key", ["sandbox", "noSandbox", "no_sandbox"])
@pytest.mark.parametrize("value", [True, False])
def test_a_file_does_not_say_whether_scripts_are_confined(key: str, value: bool, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=f"got argument '{key}', expected a spec file that does not") as caught:
        load(as_json(tmp_path, {"image": {key: value}}))
    assert "--no-sandbox" in caught.value.hint


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    table = {
        "store": ["cache", "../up", "/", "https://cache.example/x"],
        "tree": [{"file": "/a=src:0600"}, {"file": "/b=/etc/hosts"}, {"symlink": "/c=src"}, {"dir": "/d"}],
    }
    assert load(as_json(folder, {"image": table})) == {
        "store": [f"{folder}/cache", f"{folder}/../up", "/", "https://cache.example/x"],
        "tree": [{"file": f"/a={folder}/src:0600"}, {"file": "/b=/etc/hosts"}, {"symlink": "/c=src"}, {"dir": "/d"}],
    }
    assert load(as_json(folder, {"image": {"store": "cache"}}))["store"] == [f"{folder}/cache"]


@pytest.mark.parametrize("key", ["layering", "layeringPipeline"])
def test_a_pipeline_is_a_list_or_a_file_beside_the_spec_file(key: str, tmp_path: Path) -> None:
    calls = [["split_paths", [{"children_of": "/nix/store/x"}]], ["over", "rest", ["split_every", 5]]]
    folder = tmp_path / "sub"
    folder.mkdir()
    for name in ("layers", "layers.json"):
        (folder / name).write_text(json.dumps(calls), encoding="utf-8")
    for value in (calls, "layers.json", "./layers", "layers", str(folder / "layers")):
        arguments = load(as_json(folder, {"image": {key: value}}))
        assert Spec.parse(arguments).layering == Pipeline.parse(calls)
    assert load(as_json(folder, {"image": {key: "missing.json"}})) == {"layering": f"{folder}/missing.json"}
    for name in ("auto", "best"):
        assert load(as_json(folder, {"image": {key: name}})) == {"layering": name}


def test_a_pipeline_in_toml_is_a_list(tmp_path: Path) -> None:
    file = toml(
        tmp_path,
        """
        [image]
        layeringPipeline = [
          ["split_paths", ["/nix/store/x", { children_of = "/nix/store/y" }]],
          ["over", "rest", ["pipe", [["popularity_contest"], ["limit_layers", 20]]]],
        ]
        """,
    )
    assert isinstance(Spec.parse(load(file)).layering, Pipeline)


def test_paths_stay_relative_beside_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_json(tmp_path, {"image": {"store": ["cache"], "tree": [{"file": "/a=src"}]}})
    monkeypatch.chdir(tmp_path)
    assert load("lamina.json") == {"store": ["cache"], "tree": [{"file": "/a=src"}]}


@pytest.mark.parametrize(
    "table",
    [
        {"store": 5},
        {"store": [5]},
        {"store": {"a": 1}},
        {"tree": 5},
        {"tree": [5]},
        {"tree": ["/a"]},
        {"tree": [{"file": 5}]},
        {"tree": [{"file": "/a"}]},
        {"tree": [{"file": "/a="}]},
        {"layeringPipeline": ["popularity_contest"]},
        {"layeringPipeline": "best"},
        {"layeringPipeline": "/\ud800"},
        {"uname": "\ud800"},
    ],
    ids=str,
)
def test_a_value_of_the_wrong_kind_is_for_the_spec_to_refuse(table: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "a=b"  # an equals sign in the folder's name must not confuse the entries
    folder.mkdir()
    with pytest.raises(InvalidArgument):
        Spec.parse(load(as_json(folder, {"image": table})))


def test_dates_of_toml_are_moments(tmp_path: Path) -> None:
    arguments = load(toml(tmp_path, "[image]\ncreated = 2026-01-31\nmtime = 2026-01-31T12:00:00Z"))
    assert arguments["created"] == date(2026, 1, 31)
    assert str(Spec.parse(arguments).mtime) == "2026-01-31 12:00:00+00:00"


# --- tables


def test_an_image_is_named_where_there_are_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a hint shortens a long path
    file = Path(as_json(tmp_path, {"one": {"tag": "1"}, "two": {"tag": "2"}})).name
    assert load(f"{file}#two") == {"tag": "2"}
    for text in (file, f"{file}#"):
        with pytest.raises(InvalidArgument, match=r"lamina\.json: got 2 images, expected one of them$") as caught:
            load(text)
        assert caught.value.hint == f"say which: {file}#one, {file}#two"
    with pytest.raises(InvalidArgument, match=r"got image 'three', expected one of one, two$"):
        load(f"{file}#three")


def test_all_images_of_a_file_are_in_its_order(tmp_path: Path) -> None:
    file = as_json(tmp_path, {"two": {"tag": "2"}, "one": {"tag": "1"}})
    assert list(load_all(file).items()) == [("two", {"tag": "2"}), ("one", {"tag": "1"})]
    assert load_all(f"{file}#one") == {"one": {"tag": "1"}}


def test_a_file_without_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="got no image, expected a table of arguments for each image") as caught:
        load(toml(tmp_path, ""))
    assert caught.value.hint == 'write [hello], and below it contents = ["hello"]'


def test_a_file_with_one_image_needs_no_table(tmp_path: Path) -> None:
    file = toml(tmp_path, 'contents = ["hello", "./result"]\nmaxLayers = 5\n[config]\nUser = "app"\n')
    expected = {"contents": ["hello", f"{tmp_path}/result"], "max_layers": 5, "config": {"User": "app"}}
    assert load(file) == load(f"{file}#") == expected
    assert load_all(file) == {"": expected}
    with pytest.raises(InvalidArgument, match="got image 'hello'") as caught:
        load(f"{file}#hello")
    assert "leave the name out" in caught.value.hint


def test_arguments_stand_in_a_table_where_there_is_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="got 'tag' beside the table 'hello', expected every argument") as caught:
        load(toml(tmp_path, 'tag = "1"\n[hello]\ncontents = ["hello"]\n'))
    assert caught.value.hint == "put tag below [hello]"


@pytest.mark.parametrize("document", [{"image": {"tag": "1"}}, {"tag": "1"}])
def test_the_schema_that_a_file_names_for_editors_is_no_image(document: dict[str, Any], tmp_path: Path) -> None:
    assert load(as_json(tmp_path, {"$schema": "spec.schema.json", **document})) == {"tag": "1"}


@pytest.mark.parametrize(
    "text",
    ["[", "= 1", "[a]\nb = ", "[a]\nuid = " + "9" * 5000, "[a]\nb = " + "[" * 100_000, "\ufeff[a]"],
    ids=lambda text: repr(text[:12]),
)
def test_a_file_that_is_not_toml_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"expected TOML, or JSON in a \.json file$"):
        load(toml(tmp_path, text))


@pytest.mark.parametrize("text", ["", "{", "[", '{"a": {"uid": ' + "9" * 5000 + "}}", '{"a":' * 100_000, "[1]", "5"])
def test_a_file_that_is_not_a_json_object_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "lamina.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=r"lamina\.json: got "):
        load(str(file))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lamina.toml"
    file.write_bytes(b"[a]\ntag = '\xff'\n")
    with pytest.raises(FormatError):
        load(str(file))


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    for file in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(InputError, match="expected a spec file"):
            load(f"{file}#hello")


@pytest.mark.parametrize("key", ["contents", "closure"])
def test_a_relative_root_starts_at_the_file(key: str, tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    roots = ["./result", "hello", "/nix/store/x"]
    assert load(as_json(folder, {"image": {key: roots}})) == {key: [f"{folder}/result", *roots[1:]]}
    assert load(as_json(folder, {"image": {key: "./result"}})) == {key: [f"{folder}/result"]}


@pytest.mark.parametrize("key", ["from_image", "layer_cache", "embedded_store", "channel_lists"])
def test_a_relative_file_or_folder_starts_at_the_file(key: str, tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    for value, expected in (("x/y", f"{folder}/x/y"), ("/x", "/x"), ("https://x/y", "https://x/y"), ("", ""), (5, 5)):
        assert load(as_json(folder, {"image": {key: value}})) == {key: expected}


@pytest.mark.parametrize("key", ["with", "extras"])
def test_the_ready_made_contents_have_two_spellings(tmp_path: Path, key: str) -> None:
    file = toml(tmp_path, f'[x]\n{key} = ["nss"]\n')
    assert load(file) == {"extras": ["nss"]}
    assert specfile.load(file).keys == {"extras": key}


@pytest.mark.parametrize("table", ["", "[web]\n"])
def test_an_error_names_the_table_and_the_key(table: str, tmp_path: Path) -> None:
    file = toml(tmp_path, f'{table}tag = "1"\nmaxLayers = "5"\n')
    subject = f"{file}#web" if table else file
    with pytest.raises(InvalidArgument) as caught:
        specfile.load(file).parse()
    assert str(caught.value) == f"{subject}: maxLayers: got '5', expected a whole number"
    assert specfile.load(file).parse(left_out=["max_layers"]) == {"tag": "1"}


def test_checked_values_are_taken_by_the_functions(tmp_path: Path) -> None:
    file = toml(
        tmp_path,
        """
        [image]
        contents = "hello"
        created = "now"
        mtime = 2026-01-31
        layer_compression = "zstd"
        trusted_keys = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="
        with = "nss,sh"
        add_user = "web:1000"
        tree = [{ dir = "/data" }]
        layering = [["reverse"]]
        time_limit = 5
        """.replace("reverse", "flatten"),
    )
    table = specfile.load(file)
    checked = table.parse()
    assert checked["created"] == "now"
    assert Spec.parse(checked) == Spec.parse(table.arguments)
