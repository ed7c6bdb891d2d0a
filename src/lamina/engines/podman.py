"""podman."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.engines.docker_commands import load_archive, rename_image, start_container
from lamina.engines.engine import LoopbackImage, WriteArchive
from lamina.engines.logins import write_docker_config
from lamina.engines.program import EngineProgram


@dataclass(frozen=True, slots=True)
class PodmanEngine:
    """The storage of the user's podman.

    A name without a registry gets ``localhost/`` in front, as ``podman tag`` and ``podman load`` do it.
    """

    program: EngineProgram
    name: str = "podman"

    def find_obstacle(self) -> str:
        """Return why podman cannot reach a loopback address of this machine, or an empty text if it may."""
        is_remote = self.program.call("info", "--format", "{{.Host.ServiceIsRemote}}").strip()
        return "podman works in a virtual machine or on another machine" if is_remote == "true" else ""

    def pull(self, image: LoopbackImage, name: str) -> None:
        """Pull ``image``, call it ``name``, and remove the name that it has in the registry."""
        with write_docker_config(image) as folder:
            login = ("--authfile", str(folder / "config.json"), "--tls-verify=false")
            self.program.call("pull", "--quiet", *login, "--platform", str(image.platform), image.reference)
        rename_image(self.program, image.reference, name)

    def load(self, write: WriteArchive) -> None:
        """Load the archive that ``write`` writes."""
        load_archive(self.program, write)

    def run(self, name: str, arguments: tuple[str, ...], *, has_terminal: bool) -> int:
        """Become the program that starts a container."""
        return start_container(self.program, name, arguments, "--pull=never", has_terminal=has_terminal)
