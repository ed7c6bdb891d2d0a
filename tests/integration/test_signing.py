"""Against real Nix: its keys are ours, its signatures ours, and ours are good enough for it."""

from pathlib import Path

import pytest
from tests.integration.closures import Nix, Sample
from tests.integration.tools import ToolError

from lamina.formats import narinfo
from lamina.formats.cache_info import CacheInfo
from lamina.formats.keys import PublicKey, SecretKey, find_signer


def _pair(nix: Nix, folder: Path) -> tuple[SecretKey, PublicKey]:
    nix.call("nix-store", "--generate-binary-cache-key", "test-1", folder / "secret", folder / "public")
    secret, public = ((folder / name).read_text(encoding="utf-8") for name in ("secret", "public"))
    return SecretKey.parse(secret), PublicKey.parse(public)


def _cache(nix: Nix, sample: Sample, folder: Path, query: str = "") -> list[Path]:
    nix.call("nix", "copy", "--to", f"file://{folder}?compression=none{query}", sample.root)
    found = sorted(folder.glob("*.narinfo"))
    assert len(found) == len(sample.paths)
    return found


def test_a_key_of_nix_is_one_of_ours(nix: Nix, tmp_path: Path) -> None:
    secret, public = _pair(nix, tmp_path)
    assert secret.public == public
    assert (tmp_path / "secret").read_text(encoding="utf-8") == str(secret)
    assert (tmp_path / "public").read_text(encoding="utf-8") == str(public)
    newer = SecretKey.parse(nix.call("nix", "key", "generate-secret", "--key-name", "test-2").stdout)
    assert newer.name == "test-2"


def test_nix_takes_a_key_of_ours(nix: Nix, tmp_path: Path) -> None:
    key = SecretKey.generate("test-3")
    (tmp_path / "secret").write_text(str(key), encoding="utf-8")
    script = 'exec nix key convert-secret-to-public < "$1"'
    assert nix.call("/bin/sh", "-c", script, "sh", tmp_path / "secret").stdout == str(key.public)


def test_we_sign_what_nix_signs(nix: Nix, small: Sample, tmp_path: Path) -> None:
    """Ed25519 leaves nothing to chance, so the signatures are equal to the byte."""
    secret, public = _pair(nix, tmp_path)
    for file in _cache(nix, small, tmp_path / "cache", f"&secret-key={tmp_path / 'secret'}"):
        text = file.read_text(encoding="utf-8")
        found = narinfo.parse(text)
        assert found.dump() == text
        assert found.signatures == (secret.sign(found.fingerprint),)
        assert find_signer(found.fingerprint, found.signatures, [public]) == "test-1"


def test_nix_believes_what_we_sign(nix: Nix, small: Sample, tmp_path: Path) -> None:
    secret = SecretKey.generate("test-4")
    cache = tmp_path / "cache"
    files = _cache(nix, small, cache)
    verify = ("nix", "store", "verify", "--store", f"file://{cache}", "--recursive", "--trusted-public-keys")
    with pytest.raises(ToolError, match="untrusted"):
        nix.call(*verify, str(secret.public), small.root)
    for file in files:
        found = narinfo.parse(file.read_text(encoding="utf-8"))
        signed = narinfo.NarInfo(
            found.info,
            found.url,
            found.compression,
            (secret.sign(found.fingerprint),),
            found.file_hash,
            found.file_size,
        )
        file.write_text(signed.dump(), encoding="utf-8")
    nix.call(*verify, str(secret.public), small.root)


def test_a_cache_of_nix_says_what_it_is(nix: Nix, small: Sample, tmp_path: Path) -> None:
    _cache(nix, small, tmp_path / "cache")
    assert CacheInfo.parse((tmp_path / "cache" / "nix-cache-info").read_text(encoding="utf-8")) == CacheInfo()
