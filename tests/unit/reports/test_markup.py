"""HTML in which no text is taken for markup."""

import json
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from lamina.reports.markup import Markup, data_element, element, join

# HTML has no way to write these: NUL and lone surrogates; and parsers turn CR into LF.
TEXTS = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]))


class Reader(HTMLParser):
    """Collects the start tags and the text of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return reader


@given(TEXTS, TEXTS)
def test_texts_and_attributes_are_read_back_as_they_were(text: str, value: str) -> None:
    """Whatever they contain, they begin no tag and end no attribute."""
    reader = read(element("p", text, title=value))
    assert (reader.tags, reader.text) == ([("p", {"title": value})], text)


@given(st.recursive(TEXTS | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)))
def test_data_cannot_end_its_script(data: object) -> None:
    """A script ends at the first ``</script`` and has no escapes."""
    markup = data_element("data", data)
    reader = read(markup)
    assert [tag for tag, _ in reader.tags] == ["script"]
    assert json.loads(reader.text) == data
    assert not {"<", "&"} & {*reader.text}


def test_the_end_of_a_script_in_a_name_is_escaped() -> None:
    assert data_element("data", "</script><b>") == (
        '<script id="data" type="application/json">"\\u003c/script\\u003e\\u003cb\\u003e"</script>'
    )


def test_names_and_values_of_attributes() -> None:
    written = element("input", class_="x", aria_label='"a"', hidden=True, disabled=False, title=None, tabindex=-1)
    assert written == '<input class="x" aria-label="&quot;a&quot;" hidden tabindex="-1">'


def test_elements_are_nested_and_joined() -> None:
    inner = element("b", "1 < 2")
    assert element("p", "a & b ", inner, ["c", inner]) == ("<p>a &amp; b <b>1 &lt; 2</b>c<b>1 &lt; 2</b></p>")
    assert join(["<", Markup("<br>")]) == "&lt;<br>"
