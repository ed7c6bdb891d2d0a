"""Registries that fail: a passing fault is overcome, and any other ends with the right kind of error.

Nothing is half-published: a tag is moved last, so it has all its blobs or is what it was.
"""

from __future__ import annotations

import pytest
from tests.support.examples import mark_rest
from tests.support.fault_proxy import FaultProxy, ProxyFault, fail_every, serve_faults
from tests.support.registry import QUICK, MemoryRegistry, config_document, digest_of, manifest_document, serve_registry

from lamina.errors import AuthError
from lamina.formats.oci import MANIFEST_TYPE
from lamina.formats.registry_references import RegistryReference
from lamina.registry.blobs import find_blob, read_blob
from lamina.registry.connection import RegistryConnection
from lamina.registry.manifests import get_manifest, put_manifest
from lamina.registry.uploads import BlobContent, upload_blob

CONFIG = config_document()
LAYERS = tuple(bytes([number]) * (3000 * number) for number in range(1, 6))
DOCUMENT = manifest_document(CONFIG, *LAYERS)
# As many requests fail as may fail in a row, and one passes, so that each of the next five may need all its attempts.
INTERVAL = 5


def _content(data: bytes) -> BlobContent:
    return BlobContent(digest_of(data), len(data), lambda start: (data[start:],))


def _exchange_image(proxy: FaultProxy) -> None:
    """Push an image blob by blob, and read it again."""
    reference = RegistryReference.parse(f"{proxy.address}/me/app:1")
    with RegistryConnection(reference, lambda _: None, is_writer=True, policy=QUICK) as connection:
        for data in (CONFIG, *LAYERS):
            if not find_blob(connection, digest_of(data)):
                upload_blob(connection, _content(data))
        put_manifest(connection, "1", DOCUMENT, MANIFEST_TYPE)
        found = get_manifest(connection, "1")
        assert found is not None
        assert found.document == DOCUMENT
        for data in LAYERS:
            assert b"".join(read_blob(connection, digest_of(data), len(data))) == data


def test_a_proxy_without_faults_counts_what_passes() -> None:
    with serve_registry() as registry, serve_faults(registry.host) as proxy:
        _exchange_image(proxy)
    assert proxy.methods() == {"GET": 2 + len(LAYERS), "HEAD": 6, "POST": 6, "PUT": 7}
    content = sum(map(len, (*LAYERS, CONFIG, DOCUMENT)))
    heads = sum(len(exchange.path) for exchange in proxy.exchanges)
    assert content + heads < proxy.sent < content + heads + 400 * len(proxy.exchanges)
    assert {exchange.status for exchange in proxy.exchanges if exchange.method == "HEAD"} == {404}
    assert [request.path for request in registry.seen] == [exchange.path for exchange in proxy.exchanges]


@pytest.mark.parametrize("seed", mark_rest(range(INTERVAL), 1))
@pytest.mark.parametrize("fault", [fault for fault in ProxyFault if fault is not ProxyFault.UNAUTHORIZED])
def test_a_fault_that_passes_is_overcome(fault: ProxyFault, seed: int) -> None:
    with serve_registry() as registry, serve_faults(registry.host, fail_every(INTERVAL, seed, (fault,))) as proxy:
        _exchange_image(proxy)
    assert sum(exchange.fault is fault for exchange in proxy.exchanges) >= 4
    assert _is_complete(registry)


def test_a_refusal_in_the_middle_is_an_authentication_error() -> None:
    with (
        serve_registry() as registry,
        serve_faults(registry.host, fail_every(9, 4, (ProxyFault.UNAUTHORIZED,))) as proxy,
        pytest.raises(AuthError),
    ):
        _exchange_image(proxy)
    assert not registry.manifests


def _is_complete(registry: MemoryRegistry) -> bool:
    (blobs,) = registry.blobs.values()
    return {str(digest_of(data)) for data in (CONFIG, *LAYERS)} == set(blobs)
