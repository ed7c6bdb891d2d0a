"""Laws of finding the store paths that a text mentions."""

from hypothesis import example, given
from hypothesis import strategies as st
from tests.support import factories
from tests.support.examples import examples

from lamina.core.names import NIX32, StorePath
from lamina.formats.reference_scanner import scan_references

NAMES = ["app-1.0", "lib_a+b?-2", "agent-1.0.jar", "x" * 211, "a", "=", "lib", "lib.so.1=2"]
PATHS = [factories.path(name) for name in NAMES]
# All characters of names, others that occur in configs, and texts that look like store paths.
TEXTS = st.one_of(
    st.text(st.sampled_from("abz019+-._?=/:,;'\"\\ \n%$é\0"), max_size=40),
    st.text(st.sampled_from(NIX32 + "-"), max_size=80),
    st.sampled_from(["/nix/store/", "/nix/store", "nix/store/", f"/nix/store/{PATHS[0].hash}", "=" * 300]),
)


class ByHash(factories.MemoryStore):
    """A store that looks up hashes."""

    has_index = True

    def with_hashes(self, hashes: object) -> tuple[StorePath, ...]:
        assert isinstance(hashes, set)
        return tuple(path for path in PATHS if path.hash in hashes)


def stores() -> list[factories.MemoryStore]:
    infos = [factories.info(name) for name in NAMES]
    return [factories.MemoryStore(infos), ByHash(infos)]


@given(st.lists(st.tuples(TEXTS, st.sampled_from(PATHS)), max_size=5), TEXTS)
@example([("-javaagent:", PATHS[2])], "=9404:/config.yaml")
@example([("", PATHS[0]), ("", PATHS[1]), ("=", PATHS[2])], "")
@examples(200)
def test_every_path_in_a_text_is_found(parts: list[tuple[str, StorePath]], end: str) -> None:
    """Paths are found next to any text and next to each other."""
    text = "".join(f"{before}{path}" for before, path in parts) + end
    for store in stores():
        full_paths = scan_references(text.encode()).paths
        found = store.resolve_mentions(full_paths)
        assert {path for _, path in parts} <= set(found.values()) <= set(PATHS)
        assert set(found) <= full_paths
        assert all(path.hash == valid.hash for path, valid in found.items())
