"""A streamer that works like nixpkgs', without code of lamina: its output defines what "compatible" means.

It was written from the description of the rules alone (two passes over every layer, `pathlib` to find and sort files,
`tarfile` to pack them, a pipe and a thread in between). It can therefore agree with lamina only where both follow the
rules.

    python -m tests.support.nixpkgs_streamer CONF [FOLDER] > image.tar

FOLDER takes the place of / when the store is read.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

from bench.baseline import add_bytes, add_layer, write_store_layer


def parse_time(text: str, now: datetime) -> datetime:
    return now if text == "now" else datetime.fromisoformat(text)


def copy_base(archive: tarfile.TarFile, file_name: str) -> tuple[list[str], list[str], dict[str, Any]]:
    """Copy the layers of the first image; return their names, their diff IDs and the image's container config."""
    with tarfile.open(file_name) as base:

        def document(name: str) -> Any:
            file = base.extractfile(name)
            assert file
            return json.load(file)

        entry = document("manifest.json")[0]
        image = document(entry["Config"])
        for name in entry["Layers"]:
            member = base.getmember(name)
            archive.addfile(member, base.extractfile(member) if member.isreg() else None)
        return entry["Layers"], image["rootfs"]["diff_ids"], image["config"]


def with_environment(config: dict[str, Any], base: dict[str, Any] | None) -> dict[str, Any]:
    """Return the config with the base's Env before its own; a variable keeps its first position and its last value."""
    if base is None:
        return config
    items = (base.get("Env") or []) + (config.get("Env") or [])
    if items:
        config["Env"] = list({item.split("=", 1)[0]: item for item in items}.values())
    return config


def stream(conf: dict[str, Any], out: IO[bytes], folder: Path = Path("/")) -> str:
    """Write the image of ``conf``, and return its ID."""
    now = datetime.now(UTC)
    created, stamp = parse_time(conf["created"], now), parse_time(conf["mtime"], now)
    mtime = int(stamp.timestamp())
    names: list[str] = []
    digests: list[str] = []
    comments: list[list[str]] = []
    base_config: dict[str, Any] | None = None
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        if conf["from_image"] is not None:
            base_names, diff_ids, base_config = copy_base(archive, str(folder / conf["from_image"].lstrip("/")))
            names, digests = [*base_names], [diff_id.removeprefix("sha256:") for diff_id in diff_ids]
            comments = [[name] for name in base_names]
        for paths in conf["store_layers"]:
            digest = add_layer(archive, partial(write_store_layer, paths, conf, mtime, folder), mtime)
            names, digests, comments = [*names, f"{digest}/layer.tar"], [*digests, digest], [*comments, paths]
        top = folder / conf["customisation_layer"].lstrip("/")
        digest = (top / "checksum").read_text().strip()
        member = archive.gettarinfo(str(top / "layer.tar"), f"{digest}/layer.tar")
        member.mtime = mtime
        with (top / "layer.tar").open("rb") as file:
            archive.addfile(member, file)
        names, digests = [*names, f"{digest}/layer.tar"], [*digests, digest]
        comments = [*comments, [conf["customisation_layer"]]]
        image = {
            "created": created.isoformat(),
            "architecture": conf["architecture"],
            "os": "linux",
            "config": with_environment(conf["config"], base_config),
            "rootfs": {"diff_ids": [f"sha256:{digest}" for digest in digests], "type": "layers"},
            "history": [{"created": created.isoformat(), "comment": f"store paths: {comment}"} for comment in comments],
        }
        text = json.dumps(image, indent=4).encode()
        identity = hashlib.sha256(text).hexdigest()
        add_bytes(archive, f"{identity}.json", text, mtime)
        manifest = [{"Config": f"{identity}.json", "RepoTags": [conf["repo_tag"]], "Layers": names}]
        add_bytes(archive, "manifest.json", json.dumps(manifest, indent=4).encode(), mtime)
    return f"sha256:{identity}"


if __name__ == "__main__":
    where = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("/")
    sys.stderr.write(stream(json.loads(Path(sys.argv[1]).read_text()), sys.stdout.buffer, where) + "\n")
