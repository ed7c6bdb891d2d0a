"""Images that skopeo and podman copied, proven from a cache that Nix wrote and signed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.closures import Nix, Sample
from tests.integration.engines import Engine, Skopeo
from tests.integration.images import write_image

import lamina

SIGNED = "reproduced and signed"
_NAME = "localhost/test/image:1"


@dataclass(frozen=True, slots=True)
class SignedCache:
    """A binary cache, and the image of its paths in a docker-archive."""

    url: str
    key: str
    archive: Path
    layers: int

    def verify(self, image: str | Path, *, full: bool = False) -> lamina.ImageVerificationResult:
        return lamina.verify_image(image, full=full, store=self.url, trusted_keys=self.key)

    def check(self, result: lamina.ImageVerificationResult) -> None:
        """Check that all layers are signed, but for the customisation layer."""
        verdicts = [layer.verdict for layer in result.layers]
        assert verdicts == [SIGNED] * (self.layers - 1) + ["not of store paths"]
        assert result.is_verified


@pytest.fixture(scope="module")
def cache(nix: Nix, small: Sample, tmp_path_factory: pytest.TempPathFactory) -> SignedCache:
    folder = tmp_path_factory.mktemp("verify")
    nix.call("nix-store", "--generate-binary-cache-key", "verify-1", folder / "secret", folder / "public")
    where = f"file://{folder}/cache"
    nix.call("nix", "copy", "--to", f"{where}?secret-key={folder / 'secret'}", small.root)
    archive, image = write_image(folder, small, uid=1000, gid=100, mtime="2001-09-09T01:46:40Z")
    return SignedCache(where, (folder / "public").read_text(encoding="utf-8"), archive, len(image.layers))


def test_an_image_in_a_file_is_proven(cache: SignedCache) -> None:
    cache.check(cache.verify(cache.archive))


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_an_image_that_skopeo_pushed_is_proven(
    compression: str, cache: SignedCache, registry: str, skopeo: Skopeo, tmp_path: Path
) -> None:
    reference = f"{registry}/verify/{compression}:1"
    options = ("--dest-tls-verify=false", "--format", "oci", "--dest-compress-format", compression)
    skopeo.copy(f"docker-archive:{cache.archive}", f"docker://{reference}", *options)
    result = cache.verify(reference)
    cache.check(result)
    assert result.bytes_read <= 1 << 18
    whole = cache.verify(reference, full=True)
    cache.check(whole)
    assert whole.bytes_read >= sum(layer.size for layer in whole.layers)

    skopeo.copy(f"docker://{reference}", f"oci:{tmp_path}/layout:1", "--src-tls-verify=false")
    cache.check(cache.verify(tmp_path / "layout"))


def test_an_image_that_podman_saved_is_proven(cache: SignedCache, podman: Engine, tmp_path: Path) -> None:
    podman.load(cache.archive)
    for form in ("docker-archive", "oci-archive"):
        podman.call("save", "--format", form, "-o", tmp_path / form, _NAME)
        cache.check(cache.verify(tmp_path / form))
    podman.remove(_NAME)


def test_a_byte_that_was_changed_in_a_layout_of_skopeo_is_named(
    cache: SignedCache, skopeo: Skopeo, tmp_path: Path
) -> None:
    skopeo.copy(f"docker-archive:{cache.archive}", f"oci:{tmp_path}/layout:1", "--dest-compress-format", "gzip")
    (image,) = lamina.inspect(tmp_path / "layout")
    layer = max(image.layers, key=lambda one: one.size)
    blob = tmp_path / "layout" / layer.name
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    (failure,) = cache.verify(tmp_path / "layout").failures
    assert (failure.verdict, failure.differing_path) == ("differs", failure.paths[0])
    assert failure.paths == layer.paths
