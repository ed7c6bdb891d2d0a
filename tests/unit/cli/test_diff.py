"""``lamina diff``."""

import gzip
import json
from pathlib import Path

import pytest
from tests.support.fake_nix_store import run
from tests.support.image_files import LayoutBuilder, tar
from tests.support.terminal import run_on_terminal

GLIBC = "nix/store/" + "1" * 32 + "-glibc-2.40"
OLD, NEW = ("nix/store/" + digit * 32 + "-openssl-3.0." for digit in "23")
ZLIB = "nix/store/" + "4" * 32 + "-zlib-1.3"


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Return the names of two images in the layout ``images`` of the working folder."""
    monkeypatch.chdir(tmp_path)
    builder = LayoutBuilder()
    glibc, zlib = {f"{GLIBC}/lib": bytes(40000)}, {f"{ZLIB}/lib": bytes(10000)}
    layers = [
        [tar(glibc), tar({**zlib, f"{OLD}13/lib": bytes(20000)}), tar({"etc": b"1"})],
        [tar(glibc), tar({**zlib, f"{NEW}14/lib": bytes(30000)}), tar({"etc": b"2"})],
    ]
    settings = [{"Env": ["PATH=/bin"]}, {"Env": ["PATH=/bin:/usr/bin"], "Cmd": ["/bin/sh", "-c", "true"]}]
    builder.index(
        *(
            builder.image(
                image,
                config_more={"config": config},
                annotations={"io.containerd.image.name": f"docker.io/library/app:{number}"},
            )
            for number, (image, config) in enumerate(zip(layers, settings, strict=True), 1)
        )
    )
    builder.write(tmp_path / "images")
    return "images#app:1", "images#app:2"


def test_the_tables_list_what_differs(images: tuple[str, str]) -> None:
    ran = run("diff", *images)
    assert (ran.code, ran.stderr) == (0, "")
    fields, packages, layers, config = ran.stdout.decode().split("\n\n")
    assert fields.splitlines()[0] == "app:1 → app:2"
    assert fields.splitlines()[2:] == [
        "  platform  linux/amd64",
        "  size      100 KiB uncompressed → 110 KiB uncompressed",
        "  kept      1 layer, 50.0 KiB",
        "  sent      2 layers, 60.0 KiB",
        "  gone      2 layers, 50.0 KiB",
    ]
    assert packages.splitlines() == [
        "PACKAGE                       CHANGE       SENT      GONE",
        "openssl-3.0.13 → 3.0.14       updated  37.5 KiB  26.7 KiB",
        "zlib-1.3                      re-sent  12.5 KiB  13.3 KiB",
        "files outside of store paths  updated  10.0 KiB  10.0 KiB",
    ]
    assert layers.splitlines() == [
        "LAYER  CHANGE      SIZE  PATHS",
        "    2  sent    50.0 KiB  openssl-3.0.14 +1",
        "    3  sent    10.0 KiB  no store paths",
        "    2  gone    40.0 KiB  openssl-3.0.13 +1",
        "    3  gone    10.0 KiB  no store paths",
    ]
    assert config.splitlines() == [
        "CONFIG    OLD   NEW",
        "Env PATH  /bin  /bin:/usr/bin",
        'Cmd             ["/bin/sh", "-c", "true"]',
    ]


def test_full_lists_everything_whole(images: tuple[str, str]) -> None:
    document = json.loads(run("diff", *images, "--json").stdout)
    lines = run("diff", *images, "--full").stdout.decode().splitlines()
    assert f"  id        {document['old']['id']} → {document['new']['id']}" in lines
    assert any(line.split() == [f"/{GLIBC}", "kept", "50.0", "KiB"] for line in lines)
    assert any(line.startswith(f"/{OLD}13 → /{NEW}14  updated  ") for line in lines)
    for layer in document["layers"]:
        assert sum(f"{layer['diff_id']}  {layer['digest']}  " in line for line in lines) == 1


def test_an_image_and_itself_have_no_tables(images: tuple[str, str]) -> None:
    lines = run("diff", images[0], images[0]).stdout.decode().splitlines()
    assert lines[0] == "app:1"
    assert lines[-2:] == ["  sent      0 layers", "  gone      0 layers"]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_line_is_longer_than_the_terminal_is_wide(images: tuple[str, str], columns: int) -> None:
    lines = run_on_terminal("diff", *images, columns=columns)
    assert max(map(len, lines)) <= columns
    assert "openssl-3.0.13 → 3.0.14  " in "\n".join(lines)


def test_sizes_that_do_not_compare_are_a_warning(images: tuple[str, str]) -> None:
    builder = LayoutBuilder()
    builder.index(builder.image([tar({"etc": b"1"})], compress=gzip.compress, ending="+gzip"))
    Path("x.tar").write_bytes(builder.tar())
    ran = run("diff", "x.tar", images[0])
    assert ran.code == 0
    assert ran.stderr.startswith("lamina: warning: the old image stores compressed layers")
    assert ran.stdout.decode().startswith("no name → app:1\n")
    assert run("diff", "x.tar", images[0], "--quiet").stderr == ""


def test_values_do_not_act_on_a_terminal(tmp_path: Path) -> None:
    names = []
    for number, value in enumerate(("\x1b]0;title\x07", "\u202eright")):
        settings = {"Env": [f"A={value}"], "Labels": {value: value}, "Cmd": [value]}
        builder = LayoutBuilder()
        builder.index(builder.image([tar({"etc": b"1"})], config_more={"config": settings}))
        names.append(str(tmp_path / f"{number}.tar"))
        Path(names[-1]).write_bytes(builder.tar())
    text = "\n".join(run_on_terminal("diff", *names, "--full"))
    assert not {"\x1b", "\x07", "\u202e"} & {*text}
    assert r"\x1b]0;title\x07" in text
    assert r"\u202eright" in text


def test_a_page_is_written_beside_the_tables(images: tuple[str, str]) -> None:
    ran = run("diff", *images, "--html", "diff.html")
    assert (ran.code, ran.stdout) == (0, run("diff", *images).stdout)
    page = Path("diff.html").read_text()
    assert "<h1>app:1 → app:2</h1>" in page
    assert "openssl-3.0.13 → 3.0.14" in page
