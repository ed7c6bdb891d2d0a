"""The flake in three versions of Nix: its package and app, its overlay, and the flake of examples/ that uses it.

Without a network nixpkgs cannot be fetched, so its place is taken by a small set of packages (tests/nix/nixpkgs).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.closures import Nix
from tests.integration.engines import Engine
from tests.integration.expressions import Expressions
from tests.integration.flakes import LAMINA_URL, NIXPKGS_URL, Flakes, Sources, add_sources, open_flakes
from tests.integration.tools import ToolError, environment, require
from tests.support.cli_parameters import leaf_commands
from tests.support.paths import EXAMPLES, REPOSITORY

import lamina
from lamina.cli.group import group

VERSION = f"lamina {lamina.__version__}\n"
SYSTEMS = {"x86_64-linux", "aarch64-linux", "x86_64-darwin", "aarch64-darwin"}
# A nixpkgs that cannot be fetched, as flake.lock names it.
UNREACHABLE = "http://127.0.0.1:1/nixpkgs.tar.gz"


@pytest.fixture(scope="module")
def sources(expressions: Expressions, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return add_sources(expressions, tmp_path_factory.mktemp("sources"))


@pytest.fixture
def flakes(every_nix: Nix, sources: Sources) -> Iterator[Flakes]:
    """Each Nix in turn, with an empty working folder."""
    with open_flakes(every_nix, sources) as opened:
        yield opened


@pytest.fixture
def overridden(flakes: Flakes) -> tuple[str, ...]:
    """The flake of lamina with another nixpkgs, as arguments of `nix run` and other commands."""
    return (f"path:{flakes.sources.lamina}", "--override-input", "nixpkgs", f"path:{flakes.sources.nixpkgs}")


def _read_section(heading: str) -> str:
    """Return the text below a heading of docs/nix.md."""
    page = (REPOSITORY / "docs/nix.md").read_text(encoding="utf-8")
    _, section = page.split(f"# {heading}\n")
    return re.split(r"^#+ ", section, flags=re.MULTILINE)[0]


def _find_blocks(heading: str) -> list[tuple[str, str]]:
    """Return language and text of the blocks below a heading of docs/nix.md, without those that are marked."""
    section = _read_section(heading)
    section = re.sub(r"<!-- not run:[^>]*-->\n```.*?```\n", "", section, flags=re.DOTALL)
    blocks = re.findall(r"```(\w+)\n(.*?)```", section, flags=re.DOTALL)
    assert blocks, heading
    return blocks


def _find_block(heading: str, language: str, number: int = 0) -> str:
    return [text for found, text in _find_blocks(heading) if found == language][number]


# The package and the app


def test_nix_run_prints_the_version(flakes: Flakes, overridden: tuple[str, ...]) -> None:
    assert flakes.call("run", *overridden, "--", "--version").stdout == VERSION


def test_the_flake_has_the_command_for_every_system(flakes: Flakes, overridden: tuple[str, ...]) -> None:
    flake, *options = overridden
    apply = (
        "systems: builtins.mapAttrs (_: packages: builtins.mapAttrs (_: one: [ one.name one.system ]) packages) systems"
    )
    shown = json.loads(flakes.call("eval", f"{flake}#packages", *options, "--json", "--apply", apply).stdout)
    name = f"lamina-{lamina.__version__}"
    assert shown == {system: {key: [name, system] for key in ("default", "lamina")} for system in SYSTEMS}
    flakes.call("flake", "check", *overridden)
    assert name in flakes.call("flake", "show", *overridden).stdout


def test_the_package_describes_itself(flakes: Flakes, overridden: tuple[str, ...]) -> None:
    flake, *options = overridden
    meta = json.loads(flakes.call("eval", f"{flake}#default.meta", *options, "--json").stdout)
    assert meta["mainProgram"] == "lamina"
    assert meta["license"]["spdxId"] == "MIT"
    assert set(meta["platforms"]) == SYSTEMS
    assert meta["description"].startswith("Layered container images")


@pytest.fixture
def package(flakes: Flakes, overridden: tuple[str, ...]) -> Path:
    """The package, built; it is in the store of this machine, whichever Nix built it."""
    flake, *options = overridden
    flakes.call("build", f"{flake}#default", *options, "--out-link", "package")
    return (flakes.folder / "package").readlink()


def test_the_package_has_manual_pages(package: Path) -> None:
    pages = {page.name for page in (package / "share/man/man1").iterdir()}
    assert pages >= {"lamina.1", *(f"lamina-{'-'.join(words)}.1" for words, _ in leaf_commands(group))}
    require("man")
    shown = subprocess.run(
        ["man", "--manpath", package / "share/man", "lamina-build"],
        env=environment(MANWIDTH="80", MANPAGER="cat"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--max-layers" in shown.stdout


def test_the_package_has_completions(package: Path, tmp_path: Path) -> None:
    share = package / "share"
    assert (share / "zsh/site-functions/_lamina").read_text().startswith("#compdef lamina\n")
    assert "complete" in (share / "fish/vendor_completions.d/lamina.fish").read_text()
    complete = f"""
    export PATH={package}/bin:/usr/bin:/bin
    source {share}/bash-completion/completions/lamina
    COMP_WORDS=(lamina bui) COMP_CWORD=1
    _lamina_completion lamina
    echo "${{COMPREPLY[@]}}"
    """
    bash = ("bash", "--noprofile", "--norc", "-c", complete)
    done = subprocess.run(bash, env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert done.stdout == "build\n"


@pytest.mark.parametrize("command", ["install", "add"])
def test_the_command_is_installed_into_a_profile(flakes: Flakes, overridden: tuple[str, ...], command: str) -> None:
    install = ("profile", command, "--profile", f"{flakes.folder}/profile", *overridden)
    if command == "add" and flakes.nix.version() < (2, 30):
        with pytest.raises(ToolError, match="'add' is not a recognised command"):
            flakes.call(*install)
        return
    flakes.call(*install)
    profile = flakes.folder / "profile"
    done = subprocess.run([profile / "bin/lamina", "--version"], env={}, capture_output=True, text=True, check=True)
    assert done.stdout == VERSION
    assert (profile / "share/man/man1/lamina.1").is_file()


# Its overlay and its library do not fetch nixpkgs


_OVERLAY = """
let
  flake = builtins.getFlake "path:{folder}/lamina";
  pkgs = import {nixpkgs} {{ overlays = [ flake.overlays.default ]; }};
  stream = dockerTools: "${{dockerTools.streamLayeredImage {{ name = "a"; tag = "b"; contents = [ pkgs.hello ]; }}}}";
in {{
  overlay = stream pkgs.dockerTools;
  library = stream (flake.lib.dockerTools pkgs);
  command = "${{pkgs.lamina}}" == "${{flake.lib.lamina pkgs}}";
  kept = pkgs.dockerTools.buildImage {{ }};
  missing = (builtins.tryEval ((flake.overlays.default pkgs {{ }}).dockerTools.buildImage {{ }})).success;
}}
"""


def test_the_overlay_works_where_nixpkgs_cannot_be_fetched(flakes: Flakes) -> None:
    flakes.copy_lamina()
    flakes.replace("lamina/flake.nix", f"path:{flakes.sources.nixpkgs}", UNREACHABLE)
    locked = {"type": "tarball", "url": UNREACHABLE, "narHash": f"sha256-{'A' * 43}="}
    nodes = {
        "root": {"inputs": {"nixpkgs": "nixpkgs"}},
        "nixpkgs": {"locked": locked, "original": {"type": "tarball", "url": UNREACHABLE}},
    }
    lock = {"version": 7, "root": "root", "nodes": nodes}
    (flakes.folder / "lamina/flake.lock").write_text(json.dumps(lock))

    expression = _OVERLAY.format(folder=flakes.folder, nixpkgs=flakes.sources.nixpkgs)
    made = json.loads(flakes.call("eval", "--impure", "--json", "--expr", expression).stdout)
    assert made["overlay"] == made["library"]
    assert made["overlay"].endswith("-stream-a")
    assert (made["command"], made["kept"], made["missing"]) == (True, "nixpkgs", False)

    # The package of the flake itself is what fetches it.
    fetching = ("--option", "download-attempts", "1", "eval", "--raw", f"path:{flakes.folder}/lamina#default.drvPath")
    with pytest.raises(ToolError, match=r"127\.0\.0\.1:1"):
        flakes.call(*fetching)


def test_a_flake_that_follows_its_nixpkgs_does_not_lock_that_of_lamina(flakes: Flakes) -> None:
    flakes.copy_lamina()
    flakes.replace("lamina/flake.nix", f"path:{flakes.sources.nixpkgs}", UNREACHABLE)
    flakes.replace("lamina/examples/flake/flake.nix", LAMINA_URL, f"path:{flakes.folder}/lamina")
    flakes.shell("cp -r lamina/examples/flake image")
    name = flakes.call("eval", "--raw", "path:./image#packages.x86_64-linux.image.name").stdout
    assert name == "hello.tar.gz"
    lock = json.loads((flakes.folder / "image/flake.lock").read_text())
    assert sorted(lock["nodes"]) == ["lamina", "nixpkgs", "root"]
    assert lock["nodes"]["lamina"]["inputs"] == {"nixpkgs": ["nixpkgs"]}


# The page, word for word, with another nixpkgs


def test_the_commands_of_the_page_install_the_command(flakes: Flakes) -> None:
    flakes.copy_lamina()
    block = _find_block("Install the command", "sh")
    shown = flakes.shell(block.replace("profile install", "profile install --profile ../home/profile")).stdout
    assert shown.startswith(VERSION)
    assert "verify" in shown
    for program in ("work/command/bin/lamina", "home/profile/bin/lamina"):
        assert _call(flakes.folder.parent / program) == VERSION
    # The first command wrote the file, as the page says.
    lock = json.loads((flakes.folder / "lamina/flake.lock").read_text())
    assert lock["nodes"]["nixpkgs"]["original"]["path"] == flakes.sources.nixpkgs


def test_the_commands_of_the_readme_install_and_run_the_command(flakes: Flakes) -> None:
    flakes.copy_lamina()
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    ((install, run),) = re.findall(r"^(nix profile install \.) +# `(nix run \. -- --help)`", readme, re.MULTILINE)
    shown = flakes.shell(f"cd lamina\n{run}\n{install} --profile ../../home/profile").stdout
    assert shown.startswith("Usage: lamina ")
    assert _call(flakes.folder.parent / "home/profile/bin/lamina") == VERSION


def test_the_command_of_the_page_installs_without_flakes(flakes: Flakes) -> None:
    flakes.copy_lamina()
    block = _find_block("Install the command", "sh", 1)
    path = f"export NIX_PATH=nixpkgs={flakes.sources.nixpkgs}\n"
    flakes.shell(path + block.replace("nix-env", "nix-env --profile ../home/profile"))
    assert _call(flakes.folder.parent / "home/profile/bin/lamina") == VERSION


def _call(program: Path) -> str:
    return subprocess.run([program, "--version"], env={}, capture_output=True, text=True, check=True).stdout


def test_the_flake_to_copy_makes_images_that_run(flakes: Flakes, own_docker: Engine) -> None:
    flakes.copy_lamina()
    block = _find_block("A flake to copy", "sh")
    if not flakes.has_git:
        block = block.replace("git+file://$PWD", "path:$PWD")
    # The images are kept, and loaded here: the Nix may be in another root, where there is no docker.
    save = 'mkdir -p loaded\ndocker() { cat > "$OLDPWD/loaded/image-$(ls "$OLDPWD/loaded" | wc -l).tar"; }\n'
    shown = flakes.shell(save + block).stdout
    assert shown.endswith(VERSION)
    archives = sorted((flakes.folder / "loaded").iterdir())
    assert len(archives) == 2
    for archive in archives:
        assert "hello:latest" in own_docker.load(archive)
        assert own_docker.run("hello:latest").stdout == "Hello, world!\n"
        own_docker.remove("hello:latest")


def test_the_flake_to_copy_passes_the_check_of_nix(flakes: Flakes) -> None:
    shutil.copytree(EXAMPLES / "flake", flakes.folder / "flake")
    flake = f"path:{flakes.folder}/flake"
    nixpkgs = ("--override-input", "nixpkgs", f"path:{flakes.sources.nixpkgs}")
    options = (*nixpkgs, "--override-input", "lamina", f"path:{flakes.sources.lamina}")
    flakes.call("flake", "check", flake, *options)
    assert "hello.tar.gz" in flakes.call("flake", "show", flake, *options).stdout


def test_the_flake_to_copy_is_a_template(flakes: Flakes) -> None:
    flakes.copy_lamina()
    init = "nix flake init --template ../lamina"
    assert init in _read_section("A flake to copy")
    flakes.shell(f"mkdir new\ncd new\n{init}")
    assert (flakes.folder / "new/flake.nix").read_text() == (
        flakes.folder / "lamina/examples/flake/flake.nix"
    ).read_text()


def test_a_configuration_of_nixos_takes_the_overlay(flakes: Flakes, overridden: tuple[str, ...]) -> None:
    configuration = flakes.folder / "nixos"
    configuration.mkdir()
    text = _find_block("NixOS", "nix").replace(NIXPKGS_URL, f"path:{flakes.sources.nixpkgs}")
    (configuration / "flake.nix").write_text(text.replace(LAMINA_URL, f"path:{flakes.sources.lamina}"))
    system = f"path:{configuration}#nixosConfigurations.host"
    installed = json.loads(flakes.call("eval", "--json", f"{system}.config.environment.systemPackages").stdout)
    flake, *options = overridden
    assert installed == [flakes.call("eval", "--raw", f"{flake}#packages.x86_64-linux.default", *options).stdout]
    image = 'tools: "${tools.streamLayeredImage { name = "a"; tag = "b"; }}"'
    of_lamina = flakes.call("eval", "--raw", f"{system}.pkgs.dockerTools", "--apply", image).stdout
    assert of_lamina.endswith("-stream-a")


def test_a_configuration_of_nixos_takes_the_overlay_without_flakes(flakes: Flakes) -> None:
    flakes.copy_lamina()
    (flakes.folder / "configuration.nix").write_text(_find_block("NixOS", "nix", 1))
    expression = f"""
    let configuration = import {flakes.folder}/configuration.nix;
    in (import {flakes.sources.nixpkgs} {{ inherit (configuration.nixpkgs) overlays; }}).lamina.name
    """
    assert flakes.call("eval", "--impure", "--raw", "--expr", expression).stdout == f"lamina-{lamina.__version__}"
