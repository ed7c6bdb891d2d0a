"""Settings of Sphinx for the documentation site, which ``script/docs`` makes."""

import re
from pathlib import Path
from typing import Any

from lamina.version import __version__

project = "lamina"
author = "the authors of lamina"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
myst_enable_extensions = ["colon_fence"]
# As deep as the links within pages go.
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # excerpts of JSON have an ellipsis

highlight_language = "text"
smartquotes_action = "D"  # only dashes: quotes are often those of a shell

# Docstrings name things of lamina in single backticks; what is public becomes a link.
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
toc_object_entries = False

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_title = f"lamina {__version__}"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}


# HTML of Sphinx and furo that breaks a rule of accessibility, and its replacement.
_REPLACEMENTS = (
    ('<p class="caption" role="heading">', '<p class="caption" role="heading" aria-level="2">'),
    ('<aside class="sidebar-drawer">', '<aside class="sidebar-drawer" aria-label="Pages">'),
    ('<aside class="toc-drawer">', '<aside class="toc-drawer" aria-label="On this page">'),
    ('<th class="head"><p></p></th>', '<td class="head"></td>'),
    # The parameters of a signature are no list of definitions.
    ('<dl>\n<dd><em class="sig-param">', '<span class="sig-parameters">\n<dd><em class="sig-param">'),
    ("</em>,</dd>\n</dl>\n", "</em>,</dd>\n</span>\n"),
    ('<dd><em class="sig-param">', '<span class="sig-parameter"><em class="sig-param">'),
    ("</em>,</dd>", "</em>,</span>"),
)


def setup(app: Any) -> None:
    """Register `mark_result`, which must run before Napoleon, and the other functions of this file."""
    app.connect("autodoc-process-docstring", mark_result, priority=400)
    app.connect("autodoc-process-signature", shorten_defaults)
    app.connect("build-finished", mend_pages)


def mark_result(app: Any, kind: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """Put a colon before the text of a result: Napoleon takes what stands before the first colon for a type."""
    for number, line in enumerate(lines[:-1]):
        if line.strip() == "Returns:":
            text = lines[number + 1].lstrip()
            lines[number + 1] = lines[number + 1].replace(text, f": {text}", 1)


def shorten_defaults(
    app: Any, kind: str, name: str, found: Any, options: Any, signature: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Return the signature with ``...`` for defaults that are objects, which Sphinx could not parse."""
    return signature and re.sub(r"<[^<>]+>", "...", signature), result


def mend_pages(app: Any, error: Exception | None) -> None:
    """Replace what screen readers and the keyboard cannot use in the pages that were written."""
    for file in Path(app.outdir).rglob("*.html"):
        text = mended = file.read_text(encoding="utf-8")
        for found, replacement in _REPLACEMENTS:
            mended = mended.replace(found, replacement)
        if mended != text:
            file.write_text(mended, encoding="utf-8")
