"""Settings of Sphinx for the documentation site, which ``script/docs`` makes."""

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
smartquotes = False  # texts from --help name options, whose dashes and quotes are to be copied

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
html_title = f"lamina {__version__}"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
