"""The images of a spec file that are planned together: the same layers by every verb, for one image and for all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, run, write_graph
from tests.support.registry import serve_registry

import lamina
from lamina.core.names import StorePath

SIZES = {"base-1": 60_000, "log-1": 50_000, "http-1": 90_000, "sql-1": 80_000}


def make_store(root: Path) -> dict[str, StorePath]:
    """Make a store with three applications, two of which need all libraries."""
    store = FakeStore(root)
    base = store.add("base-1", {"lib": bytes(SIZES["base-1"])})
    paths = {"base": base}
    for name in ("log", "http", "sql"):
        paths[name] = store.add(f"{name}-1", {"lib": bytes(SIZES[f"{name}-1"])}, [base])
    paths["bash"] = store.add("bash-5", {"bin": {"bash": b"#!"}})
    libraries = [paths["log"], paths["http"], paths["sql"]]
    for name, needed in {"web": libraries, "api": libraries, "job": [paths["log"]]}.items():
        paths[name] = store.add(f"{name}-1", {name: name.encode() * 3000}, needed)
    write_graph(store, root / "graph.json")
    return paths


TABLE = """
[{0}]
contents = ["{0}"]
tag = "1"
layering = "{1}"
maxLayers = 4
"""


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, StorePath]:
    monkeypatch.chdir(tmp_path)
    write_spec("shared")
    return make_store(tmp_path / "root")


def write_spec(layering: str, others: str = "") -> None:
    text = "".join(TABLE.format(name, layering) for name in ("web", "api", "job"))
    Path("fleet.toml").write_text(text + others)


def plan(*arguments: str) -> dict[str, Any]:
    ran = run("plan", "--store", "root", "--json", *arguments)
    assert ran.code == 0, ran.stderr
    document: dict[str, Any] = json.loads(ran.stdout)
    return document


def plans_of(document: dict[str, Any]) -> dict[str, list[list[str]]]:
    return {image["table"]: [layer["paths"] for layer in image["layers"]] for image in document["images"]}


def layers_of(file: str | Path) -> list[str]:
    (image,) = lamina.inspect(file)
    return [str(layer.diff_id) for layer in image.layers]


def digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def test_a_registry_stores_less_than_for_images_that_are_planned_alone(paths: dict[str, StorePath]) -> None:
    totals = plan("--spec", "fleet.toml")["registry"]
    assert totals["planned"] == totals["shared"]
    assert totals["shared"]["size"] < totals["alone"]["size"]
    assert totals["shared"]["layer_count"] < totals["alone"]["layer_count"]


def test_the_plan_of_one_image_is_that_among_all(paths: dict[str, StorePath]) -> None:
    together = plans_of(plan("--spec", "fleet.toml"))
    for name, layers in together.items():
        assert plans_of(plan("--spec", f"fleet.toml#{name}")) == {name: layers}
    shared = [layer for layer in together["web"] if layer in together["api"]]
    assert len(shared) == 2
    alone = plan("--spec", "fleet.toml#web", "--layering", "cost")
    assert plans_of(alone)["web"] != together["web"]


def test_building_one_image_gives_the_bytes_of_building_all(paths: dict[str, StorePath]) -> None:
    assert run("build", "--spec", "fleet.toml", "--store", "root", "-o", "all-{name}.tar").code == 0
    for name in ("web", "api", "job"):
        one = f"one-{name}.tar"
        assert run("build", "--spec", f"fleet.toml#{name}", "--store", "root", "-o", one).code == 0
        assert digest(one) == digest(f"all-{name}.tar")
    streamed = run("stream", "--spec", "fleet.toml#web", "--store", "root")
    assert hashlib.sha256(streamed.stdout).hexdigest() == digest("all-web.tar")
    assert run("script", "--spec", "fleet.toml#web", "--store", "root", "-o", "stream-web").code == 0
    assert len({*layers_of("all-web.tar"), *layers_of("all-api.tar"), *layers_of("all-job.tar")}) < 12


def test_a_push_sends_a_shared_layer_once(paths: dict[str, StorePath]) -> None:
    with serve_registry() as registry:
        sent = []
        for name in ("web", "api"):
            to = f"{registry.host}/fleet/{name}:1"
            ran = run("push", "--spec", f"fleet.toml#{name}", "--store", "root", "--to", to, "--json")
            assert ran.code == 0, ran.stderr
            sent.append(json.loads(ran.stdout))
    digests = [{layer["digest"] for layer in image["layers"]} for image in sent]
    assert len(digests[0] & digests[1]) == 2


def test_paths_that_scripts_add_do_not_change_the_layers_of_other_images(paths: dict[str, StorePath]) -> None:
    before = plans_of(plan("--spec", "fleet.toml"))
    files = f'tree = [{{ symlink = "/bin/bash={paths["bash"]}/bin/bash" }}]'
    script = f'extraCommands = "ln -s {paths["bash"]}/bin/bash shell"'
    Path("fleet.toml").write_text(Path("fleet.toml").read_text().replace("[api]", f"{script}\n\n[api]"))
    assert plans_of(plan("--spec", "fleet.toml")) == before
    built = run("build", "--spec", "fleet.toml#web", "--store", "root", "-o", "web.tar", "--no-sandbox")
    assert built.code == 0, built.stderr
    (image,) = lamina.inspect("web.tar")
    in_layers = [path for layer in image.layers for path in layer.paths]
    assert paths["bash"] in in_layers
    assert len(in_layers) == len(set(in_layers))
    assert [str(path) for path in image.layers[0].paths] == before["web"][0]
    Path("fleet.toml").write_text(Path("fleet.toml").read_text().replace(script, files))
    assert any(str(paths["bash"]) in layer for layer in plans_of(plan("--spec", "fleet.toml"))["web"])


def test_images_with_other_bytes_or_another_layering_are_planned_apart(paths: dict[str, StorePath]) -> None:
    alone = plans_of(plan("--spec", "fleet.toml", "--layering", "cost"))
    text = Path("fleet.toml").read_text()
    for other in ("uid = 1000", 'mtime = "2020-01-01"', "includeStorePaths = false", 'layering = "auto"'):
        changed = text.replace('contents = ["web"]', f'contents = ["web"]\n{other}')
        if "layering" in other:
            changed = changed.replace('layering = "shared"', "", 1)
        Path("fleet.toml").write_text(changed.replace("[job]\n", "[job]\nuid = 7\n"))
        assert plans_of(plan("--spec", "fleet.toml"))["api"] == alone["api"], other


def test_an_image_of_its_own_has_the_plan_of_cost(paths: dict[str, StorePath]) -> None:
    given: Any = {"contents": ["web"], "store": "root", "max_layers": 4}
    expected = lamina.plan_layered_image(**given, layering="cost").layers
    assert lamina.plan_layered_image(**given, layering="shared").layers == expected
    others = {"api": {**given, "contents": ["api"], "layering": "shared"}}
    together = lamina.plan_layered_image(**given, layering="shared", siblings=others).layers
    assert together != expected
    assert lamina.plan_layered_image(**given, layering="cost", siblings=others).layers == expected


def test_a_sibling_that_cannot_be_resolved_is_an_error_with_its_name(paths: dict[str, StorePath]) -> None:
    write_spec("shared", TABLE.format("gone", "shared"))
    ran = run("build", "--spec", "fleet.toml#web", "--store", "root", "-o", "web.tar")
    assert (ran.code, ran.stdout) == (5, b"")
    assert ran.error.startswith("fleet.toml#gone: 'gone': got no valid path of that name")
    write_spec("shared", TABLE.format("gone", "cost"))
    assert run("build", "--spec", "fleet.toml#web", "--store", "root", "-o", "web.tar").code == 0


def test_a_wrong_argument_of_a_sibling_is_an_error_with_its_name(paths: dict[str, StorePath]) -> None:
    write_spec("shared", TABLE.format("small", "shared").replace("maxLayers = 4", "maxLayers = 0"))
    ran = run("plan", "--spec", "fleet.toml#web", "--store", "root")
    assert ran.code == 4
    assert ran.error.startswith("fleet.toml#small: maxLayers: got 0, expected")


def test_a_sibling_without_room_for_store_paths_is_an_error_with_its_name(paths: dict[str, StorePath]) -> None:
    write_spec("shared", TABLE.format("job2", "shared").replace('"job2"', '"job"').replace("= 4", "= 1"))
    ran = run("plan", "--spec", "fleet.toml#web", "--store", "root")
    assert ran.code == 4
    assert ran.error.startswith("fleet.toml#job2: max layers: got 1, expected at least 2 layers: ")


def test_roots_on_the_command_line_are_for_one_image(paths: dict[str, StorePath]) -> None:
    found = plans_of(plan("--spec", "fleet.toml#job", str(paths["bash"])))
    assert str(paths["bash"]) in [path for layer in found["job"] for path in layer]


def test_the_summary_says_what_planning_together_would_save(paths: dict[str, StorePath]) -> None:
    write_spec("auto")
    ran = run("plan", "--spec", "fleet.toml", "--store", "root/graph.json")
    text = ran.stdout.decode()
    assert text.startswith("web\nLAYER ")
    assert "\n\napi\nLAYER " in text
    *_, head, planned, alone, shared, last = text.splitlines()
    assert head.split("  ")[0] == "ALL 3 IMAGES"
    assert [line.split("  ")[0] for line in (planned, alone, shared)] == [
        "as planned",
        "each alone, by cost",
        "together, by shared",
    ]
    assert last.startswith('layering = "shared" in each table would save ')
    write_spec("shared")
    assert b"would save" not in run("plan", "--spec", "fleet.toml", "--store", "root/graph.json").stdout


def test_a_page_shows_one_image(paths: dict[str, StorePath]) -> None:
    ran = run("plan", "--spec", "fleet.toml", "--store", "root", "--html", "plan.html")
    assert (ran.code, ran.error) == (2, "--html: got 3 images, expected one image, the plan of which the page shows")
    assert run("plan", "--spec", "fleet.toml#web", "--store", "root", "--html", "plan.html").code == 0


def test_each_platform_of_each_image_is_planned(paths: dict[str, StorePath]) -> None:
    write_spec(
        "shared", TABLE.format("many", "shared").replace('["many"]', '["job"]') + 'platforms = ["amd64", "arm64"]'
    )
    document = plan("--spec", "fleet.toml")
    assert [(image["table"], image["platform"]) for image in document["images"]][3:] == [
        ("many", "linux/amd64"),
        ("many", "linux/arm64"),
    ]
    assert b"\nmany linux/arm64\n" in run("plan", "--spec", "fleet.toml", "--store", "root").stdout
