"""docker, with either of its image stores."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from lamina.engines.engine import LoopbackImage, WriteArchive
from lamina.engines.logins import write_docker_config
from lamina.engines.program import EngineProgram
from lamina.errors import FormatError
from lamina.formats.json_toml import parse_json

_LOCAL_SCHEMES = ("unix://", "npipe://")


@dataclass(frozen=True, slots=True)
class DockerEngine:
    """The dockerd that the program ``docker`` uses: that of its context, or of ``DOCKER_HOST``."""

    program: EngineProgram
    name: str = "docker"

    def find_obstacle(self) -> str:
        """Return why dockerd cannot reach a loopback address of this machine, or an empty text if it may."""
        address = self._find_address()
        if not address.startswith(_LOCAL_SCHEMES):
            return f"dockerd is at {address}, maybe on another machine"
        info = _parse(self.program.call("info", "--format", "{{json .}}"))
        if info.get("OperatingSystem") == "Docker Desktop":
            return "Docker Desktop runs dockerd in a virtual machine"
        if "name=rootless" in str(info.get("SecurityOptions")):
            return "dockerd runs without root, in a network of its own"
        return ""

    def pull(self, image: LoopbackImage, name: str) -> None:
        """Pull ``image``, call it ``name``, and remove the name that it has in the registry."""
        with write_docker_config(image) as folder:
            # Another configuration folder hides the contexts of the user, so the address of dockerd is named too.
            variables = {"DOCKER_CONFIG": str(folder), "DOCKER_HOST": self._find_address(), "DOCKER_CONTEXT": None}
            pulling = replace(self.program, variables=variables)
            pulling.call("pull", "--quiet", "--platform", str(image.platform), image.reference)
        try:
            self.program.call("tag", image.reference, name)
        finally:
            self.program.call("rmi", image.reference)

    def load(self, write: WriteArchive) -> None:
        """Load the archive that ``write`` writes."""
        self.program.feed(write, "load", "--quiet")

    def run(self, name: str, arguments: tuple[str, ...], *, has_terminal: bool) -> int:
        """Become the program that starts a container."""
        flags = ("--interactive", "--tty") if has_terminal else ("--interactive",)
        return self.program.replace_process("run", "--rm", *flags, name, *arguments)

    def _find_address(self) -> str:
        return self.program.call("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").strip()


def _parse(text: str) -> dict[str, object]:
    with contextlib.suppress(FormatError):
        document = parse_json(text.encode(), "docker info")
        if isinstance(document, dict):
            return document
    return {}
