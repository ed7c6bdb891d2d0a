"""Laws of what registries and users write: references and challenges."""

from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples

from lamina.errors import InvalidArgument
from lamina.formats.auth_challenges import parse_challenges
from lamina.formats.registry_references import RegistryReference

LAW = examples(200)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
COMPONENTS = st.from_regex(r"[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,8})?", fullmatch=True)
HOSTS = st.sampled_from(["docker.io", "ghcr.io", "localhost:5000", "[::1]:5000", "registry.example"])


@LAW
@given(
    HOSTS,
    st.lists(COMPONENTS, min_size=2, max_size=4),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True),
    st.none() | DIGESTS,
)
def test_a_reference_is_its_own_text(host: str, components: list[str], tag: str, digest: str | None) -> None:
    text = f"{host}/{'/'.join(components)}:{tag}{f'@sha256:{digest}' if digest else ''}"
    reference = RegistryReference.parse(text)
    assert str(reference) == text
    assert RegistryReference.parse(str(reference)) == reference


@LAW
@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_an_invalid_argument(text: str) -> None:
    try:
        reference = RegistryReference.parse(text)
    except InvalidArgument:
        return
    assert RegistryReference.parse(str(reference)) == reference
    assert str(reference).isascii()
    assert not set(str(reference)) & set(" \r\n?#%")


@LAW
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["basic", "bearer", "negotiate"]),
            st.dictionaries(st.sampled_from(["realm", "service", "scope"]), st.text(st.characters(codec="latin-1"))),
        )
    )
)
def test_quoted_parameters_come_back(challenges: list[tuple[str, dict[str, str]]]) -> None:
    """RFC 9110, 5.6.4: a backslash quotes the next character."""

    def quote(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"')

    header = ", ".join(
        f"{scheme} " + ", ".join(f'{name}="{quote(value)}"' for name, value in parameters.items())
        for scheme, parameters in challenges
    )
    assert [(found.scheme, dict(found.parameters)) for found in parse_challenges(header)] == challenges


@LAW
@given(st.text(max_size=200))
def test_any_header_has_challenges(header: str) -> None:
    for challenge in parse_challenges(header):
        assert challenge.scheme == challenge.scheme.lower()
