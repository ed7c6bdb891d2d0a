"""docker, with either of its image stores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from lamina.engines.docker_commands import load_archive, rename_image, start_container
from lamina.engines.engine import LoopbackImage, WriteArchive
from lamina.engines.logins import write_docker_config
from lamina.engines.program import EngineProgram

_LOCAL_SCHEMES = ("unix://", "npipe://")


@dataclass(frozen=True)  # no slots, because of the cached property
class DockerEngine:
    """The dockerd that the program ``docker`` uses: that of its context, or of ``DOCKER_HOST``."""

    program: EngineProgram
    name: str = "docker"

    def find_obstacle(self) -> str:
        """Return why dockerd cannot reach a loopback address of this machine, or an empty text if it may."""
        if not self._address.startswith(_LOCAL_SCHEMES):
            return f"dockerd is at {self._address}, maybe on another machine"
        info = self.program.call("info", "--format", "{{.OperatingSystem}}\n{{.SecurityOptions}}")
        if info.startswith("Docker Desktop\n"):
            return "Docker Desktop runs dockerd in a virtual machine"
        if "name=rootless" in info:
            return "dockerd runs without root, in a network of its own"
        return ""

    def pull(self, image: LoopbackImage, name: str) -> None:
        """Pull ``image``, call it ``name``, and remove the name that it has in the registry."""
        with write_docker_config(image) as folder:
            # Another configuration folder hides the contexts of the user, so the address of dockerd is named too.
            variables = {"DOCKER_CONFIG": str(folder), "DOCKER_HOST": self._address, "DOCKER_CONTEXT": None}
            pulling = replace(self.program, variables=variables)
            pulling.call("pull", "--quiet", "--platform", str(image.platform), image.reference)
        rename_image(self.program, image.reference, name)

    def load(self, write: WriteArchive) -> None:
        """Load the archive that ``write`` writes."""
        load_archive(self.program, write)

    def run(self, name: str, arguments: tuple[str, ...], *, has_terminal: bool) -> int:
        """Become the program that starts a container."""
        return start_container(self.program, name, arguments, has_terminal=has_terminal)

    @cached_property
    def _address(self) -> str:
        return self.program.call("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").strip()
