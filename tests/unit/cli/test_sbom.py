"""``lamina sbom``."""

import json
from pathlib import Path

import pytest
from tests.support.embedded_store import ROOT, fetch_example
from tests.support.fake_nix_store import run
from tests.support.sbom import read_cyclonedx, read_spdx


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with an embedded store and an image of the example."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    fetch_example(Path("store"))
    assert run("build", ROOT, "--store", "store", "-t", "hello:1", "-o", "image.tar").code == 0
    return tmp_path


def test_the_document_is_on_stdout() -> None:
    ran = run("sbom", "hello", "--store", "store")
    assert (ran.code, ran.stderr) == (0, "")
    assert len(read_cyclonedx(ran.stdout).components) == 6
    assert ran.stdout.endswith(b"}\n")


def test_the_document_goes_to_a_file_whose_name_is_printed() -> None:
    ran = run("sbom", "hello", "--store", "store", "--format", "spdx", "-o", "hello.spdx.json")
    assert (ran.code, ran.stdout, ran.stderr) == (0, b"hello.spdx.json\n", "")
    document = Path("hello.spdx.json").read_bytes()
    assert len(read_spdx(document).packages) == 7
    assert document == run("sbom", "hello", "--store", "store", "--format", "spdx").stdout


def test_json_describes_the_document_beside_it() -> None:
    ran = run("sbom", "image.tar", "--json")
    described = json.loads(ran.stderr)
    assert described["file"] is None
    assert described["media_type"] == "application/vnd.cyclonedx+json"
    assert described["size"] == len(ran.stdout)
    assert ROOT in described["paths"]
    assert len(described["warnings"]) == 1


@pytest.mark.parametrize("image", ["image.tar", "image.tar#hello:1"])
def test_an_image_is_told_from_a_root(image: str) -> None:
    ran = run("sbom", image)
    assert ran.code == 0
    assert ran.stderr.startswith("lamina: warning: the document has no hashes and no dependencies")
    subject = read_cyclonedx(ran.stdout).metadata.component
    assert subject
    assert (subject.name, subject.version) == ("hello", "1")
    assert run("sbom", image, "--quiet").stderr == ""


def test_a_named_store_tells_the_hashes_of_an_image() -> None:
    ran = run("sbom", "image.tar", "--store", "store")
    assert all(item.hashes for item in read_cyclonedx(ran.stdout).components)
    assert ran.stderr.count("\n") == 1


def test_the_date_is_that_of_the_option_or_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_date(*words: str) -> str:
        document = json.loads(run("sbom", *words, "--store", "store", "--format", "spdx").stdout)
        created: str = document["creationInfo"]["created"]
        return created

    assert get_date("hello") == "1970-01-01T00:00:01Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert get_date("hello") == "1970-01-02T00:00:00Z"
    assert get_date("hello", "--created", "2026-01-02") == "2026-01-02T00:00:00Z"
    assert get_date("image.tar") == "1970-01-01T00:00:01Z"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["image.tar", "hello"], 2, "image.tar: got an image among 2 arguments, expected ROOTs alone"),
        (["hello", "--max-unpacked-size", "1M"], 2, "--max-unpacked-size: got ROOTs, expected an image"),
        (["hello", "--max-unpacked-size", "1G"], 2, "--max-unpacked-size: got ROOTs, expected an image"),
        (["localhost:1/app:1", "--offline"], 2, "image: got localhost:1/app:1 and offline"),
        (["hello", "--insecure"], 2, "--insecure: got ROOTs, expected an image"),
        (["hello", "--format", "swid"], 2, "--format: got 'swid', expected one of cyclonedx, spdx"),
        (["hello", "-o", "folder/"], 2, "output: got 'folder/'"),
        (["nothing"], 5, "'nothing': got no valid path"),
        (["nothing.tar"], 11, "nothing.tar: got No such file or directory"),
    ],
)
def test_what_cannot_be_described_is_an_error(words: list[str], code: int, message: str) -> None:
    ran = run("sbom", *words, "--store", "store")
    assert (ran.code, ran.stdout) == (code, b"")
    assert ran.stderr.startswith(f"lamina: {message}")
