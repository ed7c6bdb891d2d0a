"""podman."""

from __future__ import annotations

from dataclasses import dataclass

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
        return self.program.replace_process("run", "--rm", "--pull=never", *flags, name, *arguments)
