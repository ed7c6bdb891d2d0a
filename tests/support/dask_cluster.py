"""A Dask cluster on loopback: a scheduler and workers, each a process that a test can kill."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from distributed import Client, LocalCluster
from tests.support.paths import REPOSITORY, SOURCES
from tests.support.processes import wait_until

import lamina


class DaskCluster:
    """A scheduler with the workers that a test starts.

    Args:
        folder: An empty folder for the files of the processes.
        config: Settings of Dask, as names and values of environment variables without ``DASK_DISTRIBUTED__``.
        scheduler_path: A folder of modules that the scheduler finds first.
    """

    def __init__(self, folder: Path, config: Mapping[str, str], scheduler_path: Path | None = None) -> None:
        self._folder = folder
        self._environment = {f"DASK_DISTRIBUTED__{name}": value for name, value in config.items()}
        self._processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        file = folder / "scheduler.json"
        options = ("--port=0", "--dashboard-address=127.0.0.1:0", f"--scheduler-file={file}")
        self.scheduler = self._start("scheduler", *options, path=scheduler_path)
        wait_until(lambda: file.exists() and file.read_text().endswith("}"))
        self.address: str = json.loads(file.read_text())["address"]

    def start_worker(
        self, path: Path | None = None, threads: int = 1, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a worker, and wait until the scheduler knows it.

        Args:
            path: A folder of modules that it finds first.
            threads: How many tasks it runs at the same time.
            environment: Its variables besides those of this process.
        """
        options = (self.address, f"--nthreads={threads}", "--no-nanny", "--no-dashboard")
        process = self._start("worker", *options, f"--local-directory={self._folder}", path=path, more=environment)
        with Client(self.address, set_as_default=False) as client:
            # A worker that was just killed does not answer.
            wait_until(lambda: process.pid in client.run(os.getpid, on_error="ignore").values())
        self.workers.append(process)
        return process

    def stop(self) -> None:
        """End all processes."""
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    def read_logs(self) -> str:
        """Return all that the processes have logged."""
        return "\n".join(file.read_text(errors="replace") for file in self._folder.glob("*.log"))

    def _start(
        self, kind: str, *options: str, path: Path | None, more: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        command = (sys.executable, "-m", f"distributed.cli.dask_{kind}", "--host=127.0.0.1", *options)
        paths = [str(folder) for folder in (path, SOURCES, REPOSITORY) if folder]
        environment = {**os.environ, **self._environment, "PYTHONPATH": os.pathsep.join(paths), **(more or {})}
        with (self._folder / f"{kind}-{len(self._processes)}.log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, cwd=self._folder, stdout=log, stderr=log)
        self._processes.append(process)
        return process


@contextmanager
def run_dask_cluster(
    folder: Path, config: Mapping[str, str] | None = None, scheduler_path: Path | None = None
) -> Iterator[DaskCluster]:
    """Start a scheduler for the block."""
    cluster = DaskCluster(folder, config or {}, scheduler_path)
    try:
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def run_cluster_in_process(workers: int, protocol: str = "inproc") -> Iterator[LocalCluster]:
    """Run a scheduler and workers with one thread each as threads of this process, for the block."""
    options = {
        "dashboard_address": "127.0.0.1:0",
        "protocol": f"{protocol}://",
        "host": "127.0.0.1" if protocol == "tcp" else None,
    }
    with LocalCluster(n_workers=workers, threads_per_worker=1, processes=False, **options) as cluster:
        yield cluster


def write_other_version(folder: Path, version: str) -> Path:
    """Copy the package to ``folder`` as another version, and return the folder for the module path."""
    package = folder / "lamina"
    shutil.copytree(Path(lamina.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "version.py").write_text(f'"""The version."""\n\n__version__ = "{version}"\n')
    return folder


def write_empty_package(folder: Path) -> Path:
    """Write a package called lamina that holds nothing, and return the folder for the module path."""
    (folder / "lamina").mkdir(parents=True)
    (folder / "lamina" / "__init__.py").touch()
    return folder
