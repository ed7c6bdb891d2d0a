"""Keys: their text form, valid signatures, and invalid ones."""

import base64
from pathlib import Path

import pytest
from tests.support.paths import EXAMPLES

from lamina.errors import InvalidArgument
from lamina.formats import narinfo
from lamina.formats.keys import CACHE_NIXOS_ORG, PublicKey, SecretKey, find_signer

NARINFOS = sorted((EXAMPLES / "cache").glob("*.narinfo"))

# RFC 8032, section 7.1, test 1: a signature of the empty message.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
SIGNATURE = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)
KEY = SecretKey("key-1", SEED)
OTHER = SecretKey("other-1", bytes(32))
TEXT = "1;/nix/store/2g13aaaa0000000000000000000000ab-hello;sha256:0;1;"


def key_text(name: str, raw: bytes) -> str:
    return f"{name}:{base64.b64encode(raw).decode()}"


def test_it_is_ed25519() -> None:
    assert KEY.public == PublicKey("key-1", PUBLIC)
    assert KEY.sign("") == key_text("key-1", SIGNATURE)
    assert KEY.public.verify("", SIGNATURE)


def test_a_key_parses_back() -> None:
    assert str(KEY) == key_text("key-1", SEED + PUBLIC)
    assert SecretKey.parse(str(KEY)) == KEY
    assert PublicKey.parse(str(KEY.public)) == KEY.public
    assert PublicKey.parse(f" {KEY.public}\n") == KEY.public


def test_generated_keys_differ() -> None:
    first, second = SecretKey.generate("a.b-1"), SecretKey.generate("a.b-1")
    assert first != second
    assert SecretKey.parse(str(first)) == first
    assert find_signer(TEXT, [first.sign(TEXT)], [second.public]) is None
    assert find_signer(TEXT, [first.sign(TEXT)], [first.public]) == "a.b-1"


def test_a_repr_does_not_contain_the_secret() -> None:
    assert repr(KEY) == "SecretKey(name='key-1')"


@pytest.mark.parametrize("name", ["", ":", "a:b", "a b", "a\n", "\0", "\ud800", "ü\x85"])
def test_an_invalid_name_of_a_key_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^key name: got "):
        SecretKey.generate(name)
    if name and ":" not in name:
        with pytest.raises(InvalidArgument):
            PublicKey.parse(key_text(name.strip() + " x", PUBLIC))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "key-1",
        "key-1:",
        base64.b64encode(PUBLIC).decode(),
        key_text("", PUBLIC),
        key_text("a b", PUBLIC),
        key_text("a:b", PUBLIC),
        key_text("key-1", PUBLIC[1:]),
        key_text("key-1", PUBLIC + b"x"),
        key_text("key-1", PUBLIC)[:-1],
        key_text("key-1", PUBLIC)[:-2] + "p=",  # bits that no byte holds
        key_text("key-1", PUBLIC) + "=",
        "key-1:" + PUBLIC.hex(),
        "key-1:ü",
        "key-1:\ud800",
    ],
)
def test_an_invalid_public_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^public key: got .*, expected NAME:BASE64 of 32 bytes$"):
        PublicKey.parse(text)


@pytest.mark.parametrize("text", ["", "key-1:", key_text("key-1", SEED), key_text("", SEED + PUBLIC), str(KEY)[:-1]])
def test_an_invalid_secret_key_is_not_shown(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^secret key: got an invalid key, expected NAME:BASE64 of 64 bytes$"):
        SecretKey.parse(text)


def test_a_secret_key_in_place_of_a_public_one_is_not_shown() -> None:
    with pytest.raises(InvalidArgument, match=r"^public key: got a secret key, expected NAME:BASE64 of 32 bytes$"):
        PublicKey.parse(str(KEY))


def test_halves_of_different_keys_are_refused() -> None:
    with pytest.raises(
        InvalidArgument, match=r"^secret key 'key-1': got halves that do not match, expected a seed and its public key$"
    ):
        SecretKey.parse(key_text("key-1", SEED + OTHER.public.raw))


# --- signatures


@pytest.mark.parametrize("file", NARINFOS, ids=lambda file: file.name)
def test_the_example_is_signed_by_its_key_alone(file: Path) -> None:
    found = narinfo.parse(file.read_text(encoding="utf-8"))
    key = PublicKey.parse((EXAMPLES / "public-key").read_text(encoding="utf-8"))
    assert find_signer(found.fingerprint, found.signatures, [CACHE_NIXOS_ORG, key]) == key.name
    assert find_signer(found.fingerprint + " ", found.signatures, [key]) is None
    assert find_signer(found.fingerprint, found.signatures, [PublicKey(key.name, KEY.public.raw)]) is None


def test_the_first_of_several_keys_is_named() -> None:
    signatures = [OTHER.sign(TEXT), KEY.sign(TEXT)]
    assert find_signer(TEXT, signatures, [KEY.public, OTHER.public]) == "key-1"
    assert find_signer(TEXT, signatures, [OTHER.public, KEY.public]) == "other-1"
    assert find_signer(TEXT, signatures[:1], [KEY.public, OTHER.public]) == "other-1"
    assert find_signer(TEXT, signatures, []) is None
    assert find_signer(TEXT, [], [KEY.public]) is None


def test_two_keys_may_have_one_name() -> None:
    twin = SecretKey("key-1", bytes(32))
    for signature in (KEY.sign(TEXT), twin.sign(TEXT)):
        assert find_signer(TEXT, [twin.sign("x"), signature], [KEY.public, twin.public]) == "key-1"
    assert find_signer(TEXT, [twin.sign(TEXT)], [KEY.public]) is None


def test_a_signature_is_checked_only_with_keys_of_its_name() -> None:
    raw = KEY.sign(TEXT).partition(":")[2]
    assert find_signer(TEXT, [f"other-1:{raw}"], [KEY.public, OTHER.public]) is None
    assert find_signer(TEXT, [f"key-1 :{raw}", f":{raw}", raw], [KEY.public]) is None


@pytest.mark.parametrize(
    "text",
    ["", ":", "key-1", "key-1:", "key-1:AAAA", "key-1:!", "key-1:ü", "key-1:\ud800", key_text("key-1", bytes(64))],
)
def test_a_malformed_signature_is_ignored(text: str) -> None:
    assert find_signer(TEXT, [text], [KEY.public]) is None
    assert find_signer(TEXT, [text, KEY.sign(TEXT), text], [KEY.public]) == "key-1"


@pytest.mark.parametrize("offset", range(0, 64, 7))
def test_each_byte_of_a_signature_matters(offset: int) -> None:
    raw = bytearray(base64.b64decode(KEY.sign(TEXT).partition(":")[2]))
    raw[offset] ^= 1
    assert find_signer(TEXT, [key_text("key-1", bytes(raw))], [KEY.public]) is None


@pytest.mark.parametrize("cut", [1, 8, 20, 40])
def test_a_truncated_secret_key_is_not_shown(cut: int) -> None:
    secret = str(SecretKey.generate("mine-1"))
    for text in (secret[:-cut], secret + "A" * cut):
        with pytest.raises(InvalidArgument) as caught:
            PublicKey.parse(text)
        assert secret[7:20] not in str(caught.value)
        assert "mine-1" in str(caught.value)
