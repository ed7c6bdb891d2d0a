"""The examples in the docs work, and their lists are complete."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.support.example_store import example_store
from tests.support.factories import info, path
from tests.support.fake_nix_store import run
from tests.support.json_schemas import check_document
from tests.support.paths import PACKAGE, REPOSITORY

import lamina
from lamina import errors
from lamina.cli import group
from lamina.cli.image_options import ContainerOptions
from lamina.core.closure import Closure
from lamina.images.image import Image
from lamina.inputs.arguments import ARGUMENTS
from lamina.inputs.declarations import Argument, list_flags
from lamina.layering import Pipeline, plan
from lamina.layering.pipeline import _OPERATIONS
from lamina.stores import open as opening

README = (REPOSITORY / "README.md").read_text()
ROOMS = (REPOSITORY / "docs/design/0003-rooms.md").read_text()
LAYERING = (REPOSITORY / "docs/layering.md").read_text()

ERRORS = (REPOSITORY / "docs/errors.md").read_text()
SOURCES = "\n".join(file.read_text() for file in PACKAGE.rglob("*.py"))


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder on a machine whose store holds the example; return the machine's root."""
    root = tmp_path / "machine"
    example_store(root)
    monkeypatch.setattr(opening, "MACHINE", root)
    monkeypatch.chdir(tmp_path)
    return root


@pytest.mark.parametrize("block", _blocks("python"))
def test_the_python_of_the_readme_runs(block: str, machine: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert isinstance(names["image"], Image)
    assert names["image"].repo_tag == "hello:latest"


def test_the_toml_of_the_page_of_common_tasks_is_a_spec(machine: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (REPOSITORY / "docs/usage.md").read_text(), re.DOTALL)
    Path("lamina.toml").write_text(block)
    from lamina.inputs.specfile import load

    stream = lamina.stream_layered_image(**load("lamina.toml#hello").arguments)
    assert stream.draft.settings.repository == "hello"


def test_the_readme_is_short() -> None:
    """What is longer belongs into ``docs/usage.md``."""
    assert len(README.splitlines()) < 150


def test_a_figure_of_the_readme_is_in_the_page_that_its_claim_links_to() -> None:
    claims = re.findall(r"^- \*\*.+\n(?:  .+\n)*", README, re.MULTILINE)
    figures = {
        figure: re.findall(r"\]\((docs/[\w/-]+\.md)\)", claim)
        for claim in claims
        for figure in re.findall(r"\d+\.\d+", claim)
    }
    assert len(figures) >= 4
    assert [
        figure
        for figure, pages in figures.items()
        if not any(re.search(rf"(?<![\d.]){figure}(?!\d)", (REPOSITORY / page).read_text()) for page in pages)
    ] == []


def test_the_index_lists_every_page_in_its_table_and_in_its_order() -> None:
    index = (REPOSITORY / "docs/index.md").read_text(encoding="utf-8")
    pages = {page.stem for page in (REPOSITORY / "docs").glob("*.md")} - {"index"}
    assert set(re.findall(r"^\| \[.*\]\((\S+)\.md\)", index.partition("## Pages")[2], re.MULTILINE)) == pages
    assert {line for line in index.splitlines() if re.fullmatch(r"[a-z-]+", line)} >= pages


def test_the_readme_lists_every_command() -> None:
    listed = re.findall(r"^\| `lamina (\w+)", README, re.MULTILINE)
    assert listed == list(group.VERBS)


def test_the_docs_list_every_family_of_errors_with_its_exit_code() -> None:
    listed = re.findall(r"^\| (\d+) \| `(\w+)` \|", ERRORS, re.MULTILINE)
    families = {kind.__name__: kind.exit_code for kind in errors.Error.__subclasses__()}
    assert {name: int(code) for code, name in listed} == families


def _tables(text: str, head: str) -> list[list[list[str]]]:
    """Return the tables with the heading ``head``, as rows of cells."""
    found = re.findall(rf"^\| {head} .*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()] for table in found]


def _list_messages(page: str) -> list[str]:
    """Return the messages in the first column of the tables with the heading "what you see"."""
    cells = [row[0] for table in _tables(page, "you see") for row in table]
    return [message for cell in cells for message in re.findall("`([^`]+)`", cell)]


@pytest.mark.parametrize("message", _list_messages(ERRORS))
def test_the_messages_that_the_docs_explain_are_those_of_lamina(message: str) -> None:
    if not re.fullmatch(
        r"HTTP \d+|No space left on device|Permission denied", message
    ):  # those of servers and of Linux
        parts = re.split(r"…|: got |, |expected ", message.replace("/nix/store", "{STORE_DIR}").rstrip("?"))
        assert [part for part in parts if part.strip() not in SOURCES] == []


def test_the_docs_list_every_operation_of_a_pipeline() -> None:
    (operations,) = _tables(LAYERING, "operation")
    assert sorted(row[0].strip("`") for row in operations) == sorted(_OPERATIONS)
    for name, arguments, *_ in operations:
        taken = [argument for argument in arguments.split(", ") if argument and argument != "or one"]
        assert len(taken) == len(_OPERATIONS[name.strip("`")].parameters)


def test_the_examples_of_pipelines_give_the_layers_in_their_tables() -> None:
    (graph,) = _tables(LAYERING, "path")
    closure = Closure.of(info(row[0].strip("`"), re.findall("`(.+?)`", row[2]), int(row[1])) for row in graph)
    examples = re.findall(r"```json\n(.*?)```", LAYERING, re.DOTALL)
    expected = _tables(LAYERING, "layer")
    assert len(examples) == len(expected) == 2
    for example, layers in zip(examples, expected, strict=True):
        calls = json.loads(re.sub(r"/nix/store/…-(\w+)", lambda found: str(path(found[1])), example))
        planned = plan(closure, strategy=Pipeline.parse(calls))
        actual = [[" ".join(f"`{one.name}`" for one in layer.paths), layer.reason] for layer in planned]
        assert actual == layers


def test_each_of_nixpkgs_32_behaviours_has_a_test() -> None:
    rows = re.findall(r"^\| (\d+) \| .* \| `(\w+)` \|", (REPOSITORY / "docs/dockertools.md").read_text(), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 33))
    tests = (REPOSITORY / "tests/integration/test_dockertools.py").read_text()
    for number, name in rows:
        assert f"\ndef {name}(" in tests
        assert f"_{number:>02}_" in name


def format_argument(name: str, declared: Argument) -> str:
    """Return the row of an argument in ``docs/arguments.md``."""
    annotations = ContainerOptions.__annotations__.items()
    config_flags = [flag for parameter, annotation in annotations for flag in list_flags(parameter, annotation)]
    flags = [flag for flag in declared.flags or (config_flags if name == "config" else ()) if not flag.is_hidden]
    options = ", ".join(f"`{flag.name} {flag.metavar or ''}".strip() + "`" for flag in flags).replace("|", r"\|")
    key = declared.key or re.sub("_([a-z])", lambda found: found[1].upper(), name)
    default = "os.defpath" if name == "search_path" else json.dumps(declared.default)
    return f"| `{name}` | {f'`{key}`' if declared.in_spec_file else '-'} | {options or '-'} | `{default}` |"


def test_the_docs_list_every_argument() -> None:
    """The table in ``docs/arguments.md`` is that of `lamina.inputs.arguments`, in its order."""
    page = (REPOSITORY / "docs/arguments.md").read_text()
    written = [line for line in page.splitlines() if line.startswith("| `")]
    assert written == [format_argument(name, declared) for name, declared in ARGUMENTS.items()]


def test_the_examples_of_json_documents_follow_their_schemas() -> None:
    page = (REPOSITORY / "docs/json.md").read_text()
    shown = set()
    for paragraph, example in re.findall(r"\n\n((?:.+\n)+)\n```json\n([^`]*)```", page):
        verbs = re.findall(r"`lamina ([a-z ]+)`", paragraph.partition(": ")[0]) or ["error"]
        for verb in verbs:
            check_document(verb, json.loads(example))
        shown.update(verbs)
    schemas = {file.name for file in (PACKAGE / "schemas").iterdir()} - {"spec.schema.json"}
    assert {f"{verb.replace(' ', '-')}.schema.json" for verb in shown} == schemas


@pytest.mark.parametrize("page", ["docs/json.md", "docs/errors.md"])
def test_the_document_of_an_error_is_what_lamina_prints(page: str, machine: Path) -> None:
    (shown,) = re.findall(r'```json\n(\{\n  "version": 1,\n  "error"[^`]*)```', (REPOSITORY / page).read_text())
    assert run("plan", "helo", "--json").stderr == shown


def test_the_links_of_the_docs_have_targets() -> None:
    for page in [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("examples/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_tables_of_the_docs_have_complete_rows() -> None:
    for page in [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")]:
        for table in re.findall(r"(?:^\|.*\n)+", page.read_text(), re.MULTILINE):
            cells = [len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()]
            assert set(cells) == {cells[0]}, f"{page}: {table.splitlines()[0]}"


def test_the_links_of_the_docs_have_headings() -> None:
    for page in [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")]:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
            linked = page.parent / target if target else page
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            # As GitHub makes anchors: without punctuation, and with dashes for spaces.
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, page


def test_the_docs_of_nix_name_every_attribute() -> None:
    page = (REPOSITORY / "docs/nix.md").read_text()
    given = (REPOSITORY / "nix/default.nix").read_text()
    taken = (REPOSITORY / "nix/taken.nix").read_text()
    names = [
        name
        for text in (given, taken)
        for found in re.findall(r"inherit \(.*\) ([^;]*);", text)
        for name in found.split()
    ]
    names += re.findall(r"(?:building|pkgs|packages|host)((?:\.[a-zA-Z]+)+) or", taken)
    assert len(names) > 30
    for name in {name.lstrip(".") for name in names} - {"compressors", "system"}:
        assert re.search(rf"`[^`]*\b{re.escape(name)}\b[^`]*`", page), name


PAGES = sorted([REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`([\w/]+/\w+\.py)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not any((root / name).is_file() for root in (PACKAGE, REPOSITORY))] == []


def test_the_page_of_the_rooms_draws_the_import_contract() -> None:
    column = re.findall(r"^    (\S.{25})", ROOMS, re.MULTILINE)
    drawn = [set(re.findall(r"(\w+)(?:/|\.py)", line)) for line in column]
    (contract,) = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert drawn == [set(layer.split(" | ")) for layer in contract["layers"]]


def test_nothing_installs_lamina_from_a_package_index() -> None:
    """Nobody has registered the name there, so anybody could upload a package of that name."""
    pattern = re.compile(r"""install (-\S+ )*['"]?lamina(\[|==|['"`]|$)|: lamina==""", re.MULTILINE)
    assert pattern.search("pip install lamina\n")
    assert pattern.search("pip install 'lamina[serve]'")
    folders = [REPOSITORY / name for name in ("docs", "examples", "src")]
    texts = [file for folder in folders for file in folder.rglob("*") if file.suffix in {".md", ".py", ".yml", ".yaml"}]
    files = [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *texts]
    assert [str(file.relative_to(REPOSITORY)) for file in files if pattern.search(file.read_text("utf-8"))] == []
