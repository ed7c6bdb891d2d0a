"""Images from binary caches that real Nix wrote, built without Nix, Docker or a network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.closures import Nix, Sample
from tests.integration.tools import require, with_private_mounts

import lamina

# Runs in its own network namespace: serves the folder on loopback and runs lamina twice, the second time offline.
_WITHOUT_NETWORK = """\
import fcntl, functools, http.server, os, socket, struct, subprocess, sys, threading

cache, key, root, data, *outputs = sys.argv[1:]
with socket.socket() as any_socket:  # netdevice(7): SIOCSIFFLAGS, with IFF_UP and IFF_RUNNING
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x41))
assert not os.path.exists("/nix/store") and not os.path.exists("/run/docker.sock")
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=cache)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
thread = threading.Thread(target=server.serve_forever)
thread.start()
url = f"http://127.0.0.1:{server.server_port}"
command = [sys.executable, "-m", "lamina", "stream", "--store", url, "--trusted-key", key, root]
command += ["--name", "x", "--tag", "1", "--quiet"]
# Without PATH, no program of this machine is found.
for output in outputs:
    with open(output, "wb") as file:
        subprocess.run(command, stdout=file, check=True, env={"XDG_DATA_HOME": data, "XDG_CACHE_HOME": data})
    server.shutdown()
    thread.join()
    server.server_close()
"""


def write_cache(nix: Nix, root: str, folder: Path, compression: str) -> tuple[Path, str]:
    """Write a signed cache of the closure of ``root``; return it and its public key."""
    secret, public, cache = folder / "secret", folder / "public", folder / "cache"
    nix.call("nix-store", "--generate-binary-cache-key", "lamina-test-1", secret, public)
    url = f"file://{cache}?compression={compression}&secret-key={secret}"
    nix.call("nix", "copy", "--to", url, root)
    return cache, public.read_text().strip()


@pytest.mark.parametrize("compression", ["xz", "zstd", "none", "bzip2"])
def test_a_cache_of_every_compression_gives_the_image_of_the_store(
    compression: str, every_nix: Nix, small: Sample, tmp_path: Path
) -> None:
    _compare_images(*write_cache(every_nix, small.root, tmp_path, compression), small.root, tmp_path)


def test_an_image_from_a_cache_equals_the_image_from_the_store(nix: Nix, sample: Sample, tmp_path: Path) -> None:
    _compare_images(*write_cache(nix, sample.root, tmp_path, "zstd"), sample.root, tmp_path)


def _compare_images(cache: Path, key: str, root: str, folder: Path) -> None:
    script = (
        sys.executable,
        "-c",
        _WITHOUT_NETWORK,
        cache,
        key,
        root,
        folder / "data",
        folder / "a.tar",
        folder / "b.tar",
    )
    command = (require("unshare"), "--net", *with_private_mounts(script, hide=("/nix", "/run")))
    subprocess.run(list(map(str, command)), check=True, env={"PATH": os.defpath}, timeout=300)
    built = lamina.build_layered_image(contents=[root], name="x", tag="1", store="/", output=folder / "store.tar")
    for name in ("a.tar", "b.tar"):
        (image,) = lamina.inspect(folder / name)
        assert str(image.digest) == built.id
        assert (folder / name).read_bytes() == (folder / "store.tar").read_bytes()
