"""A server of the S3 protocol with buckets, on loopback, and its client."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3  # type: ignore[import-untyped]
from moto.server import ThreadedMotoServer
from tests.support.s3_server import ID, SECRET


@contextmanager
def serve_buckets(*names: str) -> Iterator[str]:
    """Start a server with these buckets for the block, and return its HOST:PORT."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = make_client(f"{host}:{port}")
    for name in names:
        client.create_bucket(Bucket=name)
    try:
        yield f"{host}:{port}"
    finally:
        # All servers of a process have the same buckets.
        reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
        urllib.request.urlopen(reset).close()
        server.stop()


def make_client(address: str) -> Any:
    """Return a client of boto3 for the server at ``address``."""
    return boto3.client(
        "s3",
        endpoint_url=f"http://{address}",
        aws_access_key_id=ID,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )


def list_keys(address: str, bucket: str) -> list[str]:
    """Return the keys of all objects in a bucket of the server at ``address``."""
    return [item["Key"] for item in make_client(address).list_objects_v2(Bucket=bucket).get("Contents", ())]
