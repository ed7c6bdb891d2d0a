"""A change of a spec file, of a link or of a file reaches a real engine: ``lamina load --watch`` loads again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bench.repeat import create_change
from bench.watching import NAME, list_sources, watch
from bench.workloads import PlannedWorkload, Workload
from tests.integration.closures import Sample
from tests.integration.engines import Engine
from tests.integration.test_load import target_engine


@pytest.mark.parametrize("title", ["spec file", "link", "file"])
def test_a_change_reaches_the_engine(engine: Engine, small: Sample, tmp_path: Path, title: str) -> None:
    target = target_engine(engine, tmp_path)
    changed = create_change(PlannedWorkload.of(Workload.from_roots([small.root])), tmp_path / "change", 1, 1000)
    (source,) = (each for each in list_sources(tmp_path, changed.before, changed.after) if each.title == title)
    environment = {**os.environ, "PATH": f"{target.programs}{os.pathsep}{os.environ['PATH']}"}
    name = target.full_name(NAME)
    ids = []
    try:
        with watch(source, target.into, tmp_path / "layers.sqlite", environment) as change:
            for _ in range(3):
                ids.append(engine.inspect(name)["Id"])
                assert change() > 0
    finally:
        engine.remove(name)
        for each in ids:  # the images before the changes, which lost their name
            engine.call("image", "rm", "--force", each, check=False)
    assert ids[0] != ids[1]
    assert (ids[0] == ids[2]) == (title == "link"), "the link points to the first store path again"
