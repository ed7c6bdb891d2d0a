"""The folders of a user follow the XDG base directory specification."""

from pathlib import Path

import pytest

from lamina.cli import default_paths


@pytest.mark.skipif(not Path("/proc").exists(), reason="other systems have other folders")
def test_the_cache_and_the_store_are_in_the_users_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert Path(default_paths.get_default_layer_cache()).parent == tmp_path / "cache/lamina"
    assert default_paths.get_default_embedded_store() == str(tmp_path / "data/lamina/store")
    assert default_paths.get_default_channel_lists() == str(tmp_path / "cache/lamina/channels")
    assert list(tmp_path.iterdir()) == [], "nothing is created"
