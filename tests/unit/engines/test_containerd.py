"""The image has no name of the loopback registry in containerd, whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.engine_programs import FULL_CTR, install_program

from lamina.engines.engine import LoopbackImage
from lamina.engines.find import find_engine
from lamina.errors import OutputError
from lamina.formats.platform import Platform

IMAGE = LoopbackImage("127.0.0.1:1", "lamina/image", "latest", Platform.parse("amd64"), "lamina", "secret")


def test_the_name_of_an_image_that_could_not_be_unpacked_is_removed(tmp_path: Path) -> None:
    engine = find_engine("containerd", str(install_program(tmp_path, "ctr", FULL_CTR)))
    with pytest.raises(OutputError, match="no space left on device"):
        engine.pull(IMAGE, "hello:1")
    commands = (tmp_path / "commands").read_text().splitlines()
    assert commands[-1] == f"images rm {IMAGE.reference}"
    assert len(commands) == 2
