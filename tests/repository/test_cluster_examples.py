"""The files of ``examples/cluster`` agree with each other, with lamina's arguments and with Dask's commands."""

from __future__ import annotations

import importlib
import itertools

import click
import pytest
import yaml  # type: ignore[import-untyped]
from tests.support.paths import EXAMPLES

from lamina.fleet.where import DaskScheduler, parse_where
from lamina.inputs import specfile
from lamina.transports.s3_urls import BucketUrl

FOLDER = EXAMPLES / "cluster"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
CLUSTER = yaml.safe_load((FOLDER / "dask-cluster.yaml").read_text())
SERVICES = COMPOSE["services"]
WORKER, SCHEDULER = (CLUSTER["spec"][part]["spec"]["containers"][0] for part in ("worker", "scheduler"))
IMAGE = specfile.load(str(FOLDER / "images.toml#lamina-dask")).parse()


def list_commands() -> list[list[str]]:
    """Return the commands that start schedulers and workers."""
    composed = [SERVICES[name]["command"] for name in ("scheduler", "worker")]
    return [*composed, WORKER["args"], SCHEDULER["args"], list(IMAGE["config"]["Cmd"])]


def test_every_service_of_ours_runs_the_image_of_the_spec_file() -> None:
    image = f"{IMAGE['name']}:{IMAGE['tag']}"
    assert {name for name, service in SERVICES.items() if service["image"] == image} == {
        "scheduler",
        "worker",
        "client",
    }
    assert WORKER["image"] == SCHEDULER["image"] == f"registry.example/{image}"
    assert (FOLDER / IMAGE["contents"][0].rpartition("/")[2]).is_file()


@pytest.mark.parametrize("command", list_commands(), ids=" ".join)
def test_dask_knows_the_options_of_its_commands(command: list[str]) -> None:
    program, kind, *arguments = command
    assert program == "/bin/dask"
    main: click.Command = importlib.import_module(f"distributed.cli.dask_{kind}").main
    main.make_context(kind, arguments)


def test_the_client_uses_the_services_of_the_file() -> None:
    command = SERVICES["client"]["command"]
    assert command[:2] == ["/bin/lamina", "batch"]
    given = dict(itertools.pairwise(command))
    where = parse_where("--on", given["--on"], 1)
    assert isinstance(where, DaskScheduler)
    host, _, port = where.address.removeprefix("tcp://").partition(":")
    assert host in SERVICES
    assert port in SERVICES["scheduler"]["command"]
    assert given["--to"].partition(":")[0] in SERVICES
    assert BucketUrl.parse(given["--store"]).endpoint.partition("//")[2].partition(":")[0] in SERVICES


def test_services_depend_on_services_and_use_volumes_that_exist() -> None:
    for service in SERVICES.values():
        assert {*service.get("depends_on", ())} <= {*SERVICES}
        named = {volume.partition(":")[0] for volume in service.get("volumes", ()) if volume[0] != "."}
        assert named <= {*COMPOSE["volumes"]}


def test_ports_are_published_on_this_machine_only() -> None:
    """Whoever reaches the scheduler of a Dask cluster can run code on its workers."""
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert not any(":8786" in port for port in published)


def test_the_workers_of_kubernetes_mount_what_they_need() -> None:
    volumes = {volume["name"] for volume in CLUSTER["spec"]["worker"]["spec"]["volumes"]}
    assert {mount["name"] for mount in WORKER["volumeMounts"]} == volumes
    ports = {port["name"] for port in SCHEDULER["ports"]}
    assert {port["targetPort"] for port in CLUSTER["spec"]["scheduler"]["service"]["ports"]} == ports
