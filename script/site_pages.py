"""Write the pages of the documentation site: those of ``docs/``, and those that are made from code and other files.

    python script/site_pages.py FOLDER     writes FOLDER/docs, which Sphinx reads

Made are a page for each command, from the data of its ``--help``; the Python reference, from the docstrings of the
public names; the changelog, with its fragments; and copies of the Markdown files beside ``docs/``. Files of the
repository that a page links to are copied to the same place in FOLDER, so that Sphinx can offer them. sphinx-click is
not used, because it knows neither the sections of the help nor its examples.
"""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import lamina
from lamina.cli.command import HelpContext, list_sections
from lamina.cli.group import group
from lamina.cli.lazy_group import CommandGroup

if TYPE_CHECKING:
    import click

_REPOSITORY = Path(__file__).resolve().parent.parent
_DOCS = _REPOSITORY / "docs"
# Files beside docs/ that are pages of the site.
_COPIED = {"CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
_LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#]+)")


def write_pages(folder: Path) -> None:
    """Write all pages to ``folder``, which must not exist."""
    docs = folder / "docs"
    shutil.copytree(_DOCS, docs)
    for name, copy in _COPIED.items():
        text = (_REPOSITORY / name).read_text(encoding="utf-8")
        (docs / copy).write_text(_LINK.sub(_turn_link, text), encoding="utf-8")
    made = {"changelog.md": make_changelog(), **dict(make_command_pages()), **dict(make_python_pages())}
    for name, text in made.items():
        (docs / name).parent.mkdir(exist_ok=True)
        (docs / name).write_text(text, encoding="utf-8")
    with (docs / "design/README.md").open("a", encoding="utf-8") as file:
        file.write("\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n")
    _copy_linked_files(docs)


def _turn_link(found: re.Match[str]) -> str:
    """Return a link of a file beside ``docs/`` as a page in ``docs/`` has it."""
    target = found[2]
    return found[1] + (
        target.removeprefix("docs/") if target.startswith("docs/") else _COPIED.get(target, f"../{target}")
    )


def _copy_linked_files(docs: Path) -> None:
    """Copy the files of the repository that pages link to, unless they are pages."""
    for page in docs.rglob("*.md"):
        for _, target in _LINK.findall(page.read_text(encoding="utf-8")):
            linked = (page.parent / target).resolve()
            source = _REPOSITORY / linked.relative_to(docs.parent.resolve())
            if source.is_file() and not linked.exists():
                linked.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, linked)


# --- the changelog


def make_changelog() -> str:
    """Return the page of ``CHANGELOG.md``, with the fragments that are not in it yet."""
    command = [sys.executable, str(_REPOSITORY / "script/changelog.py"), "--print"]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()
    return _LINK.sub(_turn_link, text)


# --- commands


def make_command_pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of the page of each command, and of the page that lists them."""
    pages = list(_describe_commands(HelpContext(group, info_name="lamina")))
    entries = [name.removeprefix("commands/").removesuffix(".md") for name, _ in pages[1:]]
    first_name, first = pages[0]
    yield first_name, "\n".join([first, "```{toctree}", ":hidden:", "", *entries, "```", ""])
    yield from pages[1:]


def _describe_commands(ctx: click.Context) -> Iterator[tuple[str, str]]:
    command = ctx.command
    name = "index" if ctx.parent is None else ctx.command_path.replace(" ", "-")
    yield f"commands/{name}.md", "\n".join(_format_command(ctx))
    if isinstance(command, CommandGroup):
        for word in command.summaries:
            inner = command.get_command(ctx, word)
            if inner is not None and word != "help":
                yield from _describe_commands(inner.context_class(inner, parent=ctx, info_name=word))


def _format_command(ctx: click.Context) -> Iterator[str]:
    command = ctx.command
    yield from (f"# {'The command line' if ctx.parent is None else ctx.command_path}", "")
    yield from ("```", f"{ctx.command_path} {' '.join(command.collect_usage_pieces(ctx))}", "```", "")
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield from (_format_text(paragraph), "")
    examples: tuple[str, ...] = getattr(command, "examples", ())
    if examples:
        yield from ("## Examples", "", "```sh", *examples, "```", "")
    if isinstance(command, CommandGroup):
        yield from ("| command | what it does |", "|---|---|")
        for word, line in command.summaries.items():
            path = f"{ctx.command_path} {word}"
            shown = f"`{path}`" if word == "help" else f"[`{path}`]({path.replace(' ', '-')}.md)"
            yield f"| {shown} | {_format_text(line)} |"
        yield ""
    yield from (f"```{{program}} {ctx.command_path}", "```", "")
    for title, records in list_sections(command, ctx):
        if records:
            yield from (f"## {_escape(title)}", "")
        for term, text in records:
            directive = "option" if term.startswith("-") else "describe"
            yield from (f":::{{{directive}}} {term}", _format_text(text), ":::", "")


def _format_text(text: str) -> str:
    """Return a paragraph of the help for Markdown, with options as code."""
    parts = re.split(r"(?<![\w-])(--?[A-Za-z][\w-]*)", " ".join(text.split()))
    return "".join(f"`{part}`" if number % 2 else _escape(part) for number, part in enumerate(parts))


def _escape(text: str) -> str:
    """Return ``text`` so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", text)


# --- Python


def make_python_pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each page of the Python reference."""
    public = {name: getattr(lamina, name) for name in sorted(dir(lamina)) if not name.startswith("_")}
    errors = [name for name, one in public.items() if isinstance(one, type) and issubclass(one, lamina.Error)]
    functions = [name for name, one in public.items() if inspect.isfunction(one)]
    classes = [name for name, one in public.items() if isinstance(one, type) and name not in errors]
    yield "python/functions.md", _format_names("Python functions", "autofunction", functions)
    yield "python/classes.md", _format_names("Python classes", "autoclass", classes)
    yield "python/errors.md", _format_names("Python errors", "autoexception", errors)
    yield "python/modules.md", _format_modules()


def _format_names(title: str, directive: str, names: list[str]) -> str:
    members = [] if directive == "autofunction" else ["   :members:"]
    lines = [f"# {title}", ""]
    for name in names:
        lines += [f"## {name}", "", "```{eval-rst}", f".. {directive}:: lamina.{name}", *members, "```", ""]
    return "\n".join(lines)


def _format_modules() -> str:
    """Return the page of the public modules, and of the names for types in signatures."""
    layering, nodes = ("plan", "arrange"), ("Directory", "Symlink", "Regular", "Extent")
    lines = ["# Python modules", "", "## lamina.layering", "", "```{eval-rst}"]
    lines += [f".. autofunction:: lamina.layering.{name}\n" for name in layering]
    lines += ["```", "", "## lamina.nodes", "", "```{eval-rst}"]
    lines += [f".. autoclass:: lamina.nodes.{name}\n   :members:\n" for name in nodes]
    lines += ["```", "", "## Names for types", "", "```{eval-rst}"]
    lines += [f".. autodata:: lamina.{name}\n" for name in ("DeclaredEntry", "LayeringFunction", "StrPath")]
    return "\n".join([*lines, "```", ""])


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
