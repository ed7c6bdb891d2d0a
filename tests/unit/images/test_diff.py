"""What an update from one image to another moves."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support.image_files import LayoutBuilder, layer, tar

import lamina
from lamina.images.diff import DiffResult, compare_images

GLIBC = "nix/store/" + "1" * 32 + "-glibc-2.40"
OLD_SSL = "nix/store/" + "2" * 32 + "-openssl-3.0.13"
NEW_SSL = "nix/store/" + "3" * 32 + "-openssl-3.0.14"
ZLIB = "nix/store/" + "4" * 32 + "-zlib-1.3"


def compress(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def read(folder: Path, layers: list[bytes], form: Callable[[bytes], bytes] = bytes) -> lamina.InspectedImage:
    builder = LayoutBuilder()
    builder.index(builder.image(layers, compress=form, ending="+gzip" if form is compress else ""))
    folder.mkdir()
    builder.write(folder)
    (image,) = lamina.inspect(folder)
    return image


@pytest.fixture
def compare(tmp_path: Path) -> Callable[..., DiffResult]:
    """Return a function that compares two images of ``old`` and ``new`` layers."""

    def compare(old: list[bytes], new: list[bytes], *forms: Callable[[bytes], bytes]) -> DiffResult:
        old_form, new_form = forms or (bytes, bytes)
        return compare_images(read(tmp_path / "old", old, old_form), read(tmp_path / "new", new, new_form))

    return compare


Compare = Callable[..., DiffResult]


def test_layers_are_kept_sent_or_gone(compare: Compare) -> None:
    kept, gone, sent = layer(GLIBC), layer(OLD_SSL), layer(NEW_SSL, f"{NEW_SSL}/lib")
    result = compare([kept, gone], [sent, kept])
    assert [(item.change, item.number) for item in result.layers] == [("sent", 1), ("kept", 2), ("gone", 2)]
    assert (result.kept.size, result.sent.size, result.gone.size) == (len(kept), len(sent), len(gone))
    assert (result.kept.count, result.sent.count, result.gone.count) == (1, 1, 1)
    assert repr(result) == "<DiffResult: layers kept 1, sent 1, gone 1>"


def test_the_same_image_moves_nothing(compare: Compare) -> None:
    result = compare([layer(GLIBC)], [layer(GLIBC)])
    assert (result.sent.count, result.gone.count, result.config) == (0, 0, ())
    assert [package.change for package in result.packages] == ["kept"]


def test_a_blob_that_an_image_has_twice_counts_once(compare: Compare) -> None:
    same = layer(GLIBC)
    result = compare([], [same, same])
    assert (result.sent.count, result.sent.size) == (1, len(same))
    assert (result.new.layer_count, result.new.size) == (2, len(same))


def test_packages_say_why_bytes_move(compare: Compare) -> None:
    old = [tar({f"{GLIBC}/a": bytes(9000)}), tar({f"{OLD_SSL}/a": bytes(800), f"{ZLIB}/a": bytes(200)}), layer("etc")]
    new = [old[0], tar({f"{NEW_SSL}/a": bytes(900), f"{ZLIB}/a": bytes(100)}), layer("bin", "etc")]
    result = compare(old, new)
    found = {package.new.name if package.new else "": package for package in result.packages}
    assert {name: package.change for name, package in found.items()} == {
        "glibc-2.40": "kept",
        "openssl-3.0.14": "updated",
        "zlib-1.3": "re-sent",
        "": "updated",
    }
    ssl = found["openssl-3.0.14"]
    assert (ssl.kept_size, ssl.sent_size, ssl.gone_size) == (0, len(new[1]) * 9 // 10, len(old[1]) * 8 // 10)
    assert [package.sent_size for package in result.packages] == sorted(
        (package.sent_size for package in result.packages), reverse=True
    )


def test_the_sizes_of_packages_add_up_to_those_of_layers(compare: Compare) -> None:
    old = [layer(f"{GLIBC}/a", f"{ZLIB}/b", f"{OLD_SSL}/c"), layer("etc"), layer(ZLIB)]
    new = [layer(f"{GLIBC}/a", f"{ZLIB}/b", f"{NEW_SSL}/c"), layer("bin"), layer(ZLIB)]
    result = compare(old, new, compress, compress)
    for part in ("kept", "sent", "gone"):
        assert sum(getattr(item, f"{part}_size") for item in result.packages) == getattr(result, part).size


def test_a_package_is_rebuilt_added_or_removed(compare: Compare) -> None:
    rebuilt = ZLIB.replace("4" * 32, "5" * 32)
    result = compare([layer(ZLIB), layer(OLD_SSL)], [layer(rebuilt), layer(GLIBC)])
    assert {(item.old or item.new or None, item.change) for item in result.packages} == {
        (lamina.StorePath.parse(f"/{ZLIB}"), "rebuilt"),
        (lamina.StorePath.parse(f"/{GLIBC}"), "added"),
        (lamina.StorePath.parse(f"/{OLD_SSL}"), "removed"),
    }


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ([layer("etc")], [layer("etc")], "kept"),
        ([], [layer("etc")], "added"),
        ([layer("etc")], [], "removed"),
        ([layer("etc")], [layer("bin")], "updated"),
        ([layer("etc"), layer("bin")], [layer("etc")], "kept"),
    ],
)
def test_files_outside_of_store_paths_are_one_package(
    compare: Compare, old: list[bytes], new: list[bytes], change: str
) -> None:
    (package,) = compare(old, new).packages
    assert (package.change, package.old, package.new) == (change, None, None)


def test_a_plain_tar_is_kept_if_the_other_image_has_it_compressed(compare: Compare) -> None:
    result = compare([layer(GLIBC), layer(OLD_SSL)], [layer(GLIBC), layer(NEW_SSL)], compress, bytes)
    assert [item.change for item in result.layers] == ["kept", "sent", "gone"]
    assert result.kept.size == len(layer(GLIBC))
    assert (result.old.is_compressed, result.new.is_compressed) == (True, False)
    assert result.warnings == (
        "the old image stores compressed layers and the new one plain tars, so their sizes do not compare",
    )


def test_a_compressed_layer_is_kept_if_the_other_image_has_its_plain_tar(compare: Compare) -> None:
    result = compare([layer(GLIBC)], [layer(GLIBC)], bytes, compress)
    assert [item.change for item in result.layers] == ["kept"]
    assert result.kept.size == len(compress(layer(GLIBC)))


def test_a_layer_that_is_compressed_in_another_way_is_sent_again(compare: Compare) -> None:
    def store(data: bytes) -> bytes:
        return gzip.compress(data, 0, mtime=0)

    result = compare([layer(GLIBC)], [layer(GLIBC)], store, compress)
    assert [item.change for item in result.layers] == ["sent", "gone"]
    assert [package.change for package in result.packages] == ["re-sent"]
    assert result.warnings == ()


@dataclass(frozen=True)
class DescribedLayer:
    """A layer of which only the descriptor and the store paths are known, as from an image in a registry."""

    diff_id: lamina.Digest
    digest: lamina.Digest
    size: int
    paths: tuple[lamina.StorePath, ...]
    path_sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class DescribedImage:
    layers: tuple[DescribedLayer, ...]
    digest: lamina.Digest
    repo_tags: tuple[str, ...] = ("registry.example/app:1",)
    tags: tuple[str, ...] = ()
    platform: str = "linux/amd64"
    config: Mapping[str, Any] = field(default_factory=dict)


def test_an_image_is_compared_without_the_bytes_of_its_layers() -> None:
    """The size of a layer is shared out equally if the sizes of its paths are not known."""
    paths = tuple(lamina.StorePath.parse(f"/{name}") for name in (GLIBC, ZLIB))
    one, other = (lamina.Digest(bytes([number] * 32)) for number in (1, 2))
    image = DescribedImage((DescribedLayer(one, other, 101, paths),), one)
    result = compare_images(DescribedImage((), other), image)
    assert [(item.new, item.sent_size) for item in result.packages] == [(paths[1], 51), (paths[0], 50)]
    assert compare_images(image, image).sent.count == 0
