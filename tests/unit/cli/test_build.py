"""``lamina build`` with all images of a spec file; one image is built in ``tests/scenarios``."""

import json
from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, example, run

import lamina


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.chdir(tmp_path)
    return example(tmp_path / "root")[0]


TWO_IMAGES = """
[first]
contents = ["hello"]
tag = "1"
[second]
contents = ["words"]
tag = "1"
"""


def test_all_images_of_a_spec_file_go_to_one_layout(store: FakeStore) -> None:
    Path("two.toml").write_text(TWO_IMAGES)
    ran = run("build", "--spec", "two.toml", "--store", store.root, "-o", "images/")
    assert (ran.code, ran.stdout) == (0, b"images/#hello:1\nimages/#words:1\n"), ran.stderr
    for reference in ran.stdout.decode().split():
        (found,) = lamina.inspect(reference)
        assert found.repo_tags == (reference.partition("#")[2],)


def test_each_image_of_a_spec_file_goes_to_a_file_of_its_name(store: FakeStore) -> None:
    Path("two.toml").write_text(TWO_IMAGES)
    ran = run("build", "--spec", "two.toml", "--store", store.root, "-o", "{name}.tar", "--json")
    assert ran.code == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert [(image["table"], image["file"]) for image in document["images"]] == [
        ("first", "first.tar"),
        ("second", "second.tar"),
    ]
    assert [image["repo_tags"] for image in document["images"]] == [["hello:1"], ["words:1"]]
    assert Path("first.tar").read_bytes() == run("stream", "hello", "--tag", "1", "--store", store.root).stdout
    assert (document["version"], document["warnings"]) == (1, [])


def test_the_first_image_that_fails_is_named_and_those_before_it_stay(store: FakeStore) -> None:
    Path("two.toml").write_text(TWO_IMAGES.replace("words", "wordz"))
    ran = run("build", "--spec", "two.toml", "--store", store.root, "-o", "{name}.tar")
    assert (ran.code, ran.stdout) == (5, b"first.tar\n")
    assert ran.error.startswith("image second: 'wordz': got no valid path of that name")


def test_two_images_of_one_name_do_not_share_a_layout(store: FakeStore) -> None:
    Path("two.toml").write_text(TWO_IMAGES.replace('"words"]', '"words"]\nname = "hello"'))
    ran = run("build", "--spec", "two.toml", "--store", store.root, "-o", "images/")
    assert ran.code == 2
    assert ran.error.startswith("image second: name: got the name and tag of image first, expected a name or tag")
    assert not Path("images").exists()
    assert run("build", "--spec", "two.toml", "--store", store.root, "-o", "{name}.tar").code == 0


@pytest.mark.parametrize(
    ("written", "changed", "message"),
    [
        ('"words"]', '"hello-2.12.1"]', "image second: name: got the name and tag of image first"),
        ('"words"]', '"words"]\nmax_layers = "5"', "two.toml#second: max_layers: got '5'"),
    ],
)
def test_every_image_of_a_spec_file_is_checked_before_one_is_written(
    written: str, changed: str, message: str, store: FakeStore
) -> None:
    first = TWO_IMAGES.replace('["hello"', '["hello-2.12.1"')
    Path("two.toml").write_text(first.replace(written, changed))
    ran = run("build", "--spec", "two.toml", "--store", store.root, "-o", "images/")
    assert ran.code == 2
    assert message in ran.error
    assert not Path("images").exists()


def test_other_verbs_take_one_image_of_a_spec_file(store: FakeStore) -> None:
    Path("two.toml").write_text(TWO_IMAGES)
    for verb, options in (("stream", ()), ("push", ("--to", "localhost/x"))):
        ran = run(verb, "--spec", "two.toml", "--store", store.root, *options)
        assert (ran.code, ran.error) == (2, "two.toml: got 2 images, expected one of them")
        assert "hint: say which: two.toml#first, two.toml#second" in ran.stderr


SEVERAL = ("--platform", "amd64", "--platform", "arm64", "--root", "arm64=words")


def test_images_for_several_platforms_go_to_a_layout_or_an_oci_archive(store: FakeStore) -> None:
    build: list[str | Path] = ["build", "hello", "--store", store.root, "-t", "x:1", *SEVERAL]
    ran = run(*build, "-o", "images/")
    assert (ran.code, ran.stdout) == (0, b"images/\n"), ran.stderr
    first, second, last = [line for line in ran.stderr.splitlines() if not line.startswith(("layer", "lamina:"))]
    assert [line.split("  ")[2] for line in (first, second)] == ["linux/amd64", "linux/arm64"]
    assert last.startswith("x:1  sha256:")
    assert "  index of 2 images  " in last
    document = json.loads(run(*build, "-o", "x.tar", "--format", "oci", "--json").stdout)
    assert document["indexes"][0]["digest"][:19] in last
    assert [image["platform"] for image in document["images"]] == ["linux/amd64", "linux/arm64"]
    assert [image.platform for image in lamina.inspect("x.tar")] == ["linux/amd64", "linux/arm64"]
    assert run("stream", *build[1:], "--format", "oci").stdout == Path("x.tar").read_bytes()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["build", "-o", "x.tar"], "format: got docker and several platforms, expected oci for a file"),
        (
            ["build", "-o", "-", "--format", "hybrid"],
            "format: got hybrid and several platforms, expected oci for a file",
        ),
        (["stream"], "format: got docker and several platforms, expected oci for a file"),
        (["script", "-o", "x"], "platforms: got linux/amd64, linux/arm64, expected one platform here"),
    ],
    ids=" ".join,
)
def test_what_has_no_place_for_several_platforms_is_refused_with_a_hint(
    store: FakeStore, words: list[str], error: str
) -> None:
    ran = run(*words, "hello", "--store", store.root, *SEVERAL)
    assert (ran.code, ran.error) == (2, error)
    assert "hint: " in ran.stderr


def test_a_spec_file_has_images_for_several_platforms_beside_others(store: FakeStore) -> None:
    Path("two.toml").write_text(TWO_IMAGES + 'platforms = ["amd64", "arm64"]\nroots.arm64 = ["hello"]\n')
    ran = run("build", "--spec", "two.toml", "--store", store.root, "-o", "images/", "--json")
    assert ran.code == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert [image["table"] for image in document["images"]] == ["first", "second", "second"]
    assert [(index["table"], index["repo_tags"]) for index in document["indexes"]] == [("second", ["words:1"])]
    ran = run("build", "--spec", "two.toml", "--store", store.root, "-o", "again/")
    assert ran.stdout == b"again/#hello:1\nagain/#words:1\n"
    assert len(lamina.inspect("again/#words:1")) == 2
    Path("two.toml").write_text(TWO_IMAGES + 'platforms = ["amd64", "arm64"]\nroots.s390x = ["hello"]\n')
    ran = run("build", "--spec", "two.toml", "--store", store.root, "-o", "none/")
    assert ran.error.startswith("two.toml#second: roots: got linux/s390x, which is not among the platforms")
    assert not Path("none").exists()


def test_a_plan_is_printed_for_each_platform(store: FakeStore) -> None:
    ran = run("plan", "hello", "--store", store.root, *SEVERAL)
    headings = [line for line in ran.stdout.decode().splitlines() if line.startswith("linux/")]
    assert headings == ["linux/amd64", "linux/arm64"]
    document = json.loads(run("plan", "hello", "--store", store.root, *SEVERAL, "--json").stdout)
    assert [image["platform"] for image in document["images"]] == ["linux/amd64", "linux/arm64"]
    assert document["layers"] == document["images"][0]["layers"]
    ran = run("plan", "hello", "--store", store.root, *SEVERAL, "--root", "arm64=wordz")
    assert ran.error.startswith("linux/arm64: 'wordz': got no valid path of that name")
