"""Keys and signatures exchanged with real Nix, in both directions."""

from pathlib import Path

import pytest
from tests.integration.closures import Nix, Sample
from tests.integration.tools import ToolError

from lamina.formats import narinfo
from lamina.formats.cache_info import CacheInfo
from lamina.formats.keys import PublicKey, SecretKey, find_signer


def _generate_keys(nix: Nix, folder: Path) -> tuple[SecretKey, PublicKey]:
    nix.call("nix-store", "--generate-binary-cache-key", "test-1", folder / "secret", folder / "public")
    secret, public = ((folder / name).read_text(encoding="utf-8") for name in ("secret", "public"))
    return SecretKey.parse(secret), PublicKey.parse(public)


def _write_cache(nix: Nix, sample: Sample, folder: Path, query: str = "") -> list[Path]:
    nix.call("nix", "copy", "--to", f"file://{folder}?compression=none{query}", sample.root)
    files = sorted(folder.glob("*.narinfo"))
    assert len(files) == len(sample.paths)
    return files


def test_a_key_of_nix_is_parsed(nix: Nix, tmp_path: Path) -> None:
    secret, public = _generate_keys(nix, tmp_path)
    assert secret.public == public
    assert (tmp_path / "secret").read_text(encoding="utf-8") == str(secret)
    assert (tmp_path / "public").read_text(encoding="utf-8") == str(public)
    newer = SecretKey.parse(nix.call("nix", "key", "generate-secret", "--key-name", "test-2").stdout)
    assert newer.name == "test-2"


def test_nix_accepts_our_key(nix: Nix, tmp_path: Path) -> None:
    key = SecretKey.generate("test-3")
    (tmp_path / "secret").write_text(str(key), encoding="utf-8")
    script = 'exec nix key convert-secret-to-public < "$1"'
    assert nix.call("/bin/sh", "-c", script, "sh", tmp_path / "secret").stdout == str(key.public)


def test_our_signatures_equal_those_of_nix(nix: Nix, small: Sample, tmp_path: Path) -> None:
    """Ed25519 is deterministic, so the signatures are equal to the byte."""
    secret, public = _generate_keys(nix, tmp_path)
    for file in _write_cache(nix, small, tmp_path / "cache", f"&secret-key={tmp_path / 'secret'}"):
        text = file.read_text(encoding="utf-8")
        parsed = narinfo.parse(text)
        assert parsed.dump() == text
        assert parsed.signatures == (secret.sign(parsed.fingerprint),)
        assert find_signer(parsed.fingerprint, parsed.signatures, [public]) == "test-1"


def test_nix_trusts_our_signatures(nix: Nix, small: Sample, tmp_path: Path) -> None:
    secret = SecretKey.generate("test-4")
    cache = tmp_path / "cache"
    files = _write_cache(nix, small, cache)
    verify = ("nix", "store", "verify", "--store", f"file://{cache}", "--recursive", "--trusted-public-keys")
    with pytest.raises(ToolError, match="untrusted"):
        nix.call(*verify, str(secret.public), small.root)
    for file in files:
        parsed = narinfo.parse(file.read_text(encoding="utf-8"))
        signed = narinfo.NarInfo(
            parsed.info,
            parsed.url,
            parsed.compression,
            (secret.sign(parsed.fingerprint),),
            parsed.file_hash,
            parsed.file_size,
        )
        file.write_text(signed.dump(), encoding="utf-8")
    nix.call(*verify, str(secret.public), small.root)


def test_the_cache_info_of_nix_is_parsed(nix: Nix, small: Sample, tmp_path: Path) -> None:
    _write_cache(nix, small, tmp_path / "cache")
    assert CacheInfo.parse((tmp_path / "cache" / "nix-cache-info").read_bytes()) == CacheInfo()
