"""A login is in a file that only the user can read, in the format of the engine."""

import json
import tomllib
from pathlib import Path

import pytest

from lamina.engines.engine import LoopbackImage
from lamina.engines.logins import write_docker_config, write_hosts_folder
from lamina.errors import OutputError
from lamina.formats.platform import Platform

IMAGE = LoopbackImage("127.0.0.1:5000", "image", "latest", Platform.parse("amd64"), "lamina", "s3cret")
# base64 of lamina:s3cret
ENCODED = "bGFtaW5hOnMzY3JldA=="


def test_docker_and_podman_read_a_config() -> None:
    with write_docker_config(IMAGE) as folder:
        file = folder / "config.json"
        assert json.loads(file.read_text()) == {"auths": {"127.0.0.1:5000": {"auth": ENCODED}}}
        assert file.stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_containerd_reads_a_file_of_hosts() -> None:
    with write_hosts_folder(IMAGE) as folder:
        file = folder / "127.0.0.1:5000/hosts.toml"
        document = tomllib.loads(file.read_text())
        assert document["server"] == "http://127.0.0.1:5000"
        host = document["host"]["http://127.0.0.1:5000"]
        assert host == {"capabilities": ["pull", "resolve"], "header": {"Authorization": [f"Basic {ENCODED}"]}}
        assert file.stat().st_mode & 0o777 == 0o600
    assert not folder.exists()


def test_no_temporary_folder_is_an_error_that_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(OutputError) as raised, write_docker_config(IMAGE):
        pass
    assert "TMPDIR" in raised.value.hint


def test_the_password_is_not_printed() -> None:
    assert "s3cret" not in repr(IMAGE)
