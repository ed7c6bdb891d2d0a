"""A batch on a cluster, simulated: how long it takes, and which part of the cluster limits it.

The client prepares all images. Then the workers take the layers, the largest first: each reads the NARs, packs and
compresses the layer while it sends the blob, and reports a result through the scheduler. Meanwhile threads of the
client finish each image whose layers are there: they mount the blobs, and send the documents.

Invariant: the same arguments give the same numbers on every machine.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.fleets.sharing import Clock, Process, SharedResource, Use, start_process


@dataclass(frozen=True, slots=True)
class Rates:
    """The speeds and limits of the parts of a cluster. Sizes are in bytes, and times in seconds.

    The defaults of times and of sizes after compression were measured, as docs/cluster.md says; those of networks are
    assumptions.

    Attributes:
        workers: the number of worker processes, each with one processor.
        prepare: the client's time to plan and prepare an image, before the first layer is made.
        finish: the client's processor time to finish an image.
        finishers: the threads of the client that finish images.
        submit: the client's processor time for each layer.
        schedule: the scheduler's time for each layer.
        start: a worker's time for each layer apart from its bytes: opening stores and connections.
        pack: how many bytes of NARs a worker packs and compresses in a second.
        nar_ratio: the size of a compressed NAR ÷ that of the NAR.
        blob_ratio: the size of a compressed layer ÷ that of its NARs.
        store: how many bytes the binary cache gives in a second, to all workers together.
        connection: how many bytes it gives one worker in a second.
        registry: how many bytes the registry takes in a second.
        requests: how many requests the registry answers in a second.
        latency: the time between a request and its answer if the registry is idle.
        layer_requests: the requests for each layer that is sent.
        mount_requests: the requests for each layer of each image, which mount it.
        image_requests: the other requests for each image, for its customisation layer and documents.
    """

    workers: int = 100
    prepare: float = 0.025
    finish: float = 0.05
    finishers: int = 8
    submit: float = 0.0008
    schedule: float = 0.0014
    start: float = 0.1
    pack: float = 130e6
    nar_ratio: float = 0.31
    blob_ratio: float = 0.37
    store: float = 1.25e9
    connection: float = 100e6
    registry: float = 1.25e9
    requests: float = 1000
    latency: float = 0.003
    layer_requests: int = 5
    mount_requests: int = 1
    image_requests: int = 10


@dataclass(frozen=True, slots=True)
class SimulatedFleet:
    """The images of a simulated batch.

    Attributes:
        sizes: the size of the NARs of each distinct layer.
        images: the layers of each image.
    """

    sizes: Sequence[int]
    images: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class SimulatedBatch:
    """The result of a simulation.

    Attributes:
        seconds: how long the batch took.
        layers_done: when the last layer was in the registry.
        use: the used part of each resource over the whole time, from 0 to 1, by its name.
        tasks_per_second: how many layers the scheduler handled per second while layers were made.
        peak_tasks: the same in the busiest second.
    """

    seconds: float
    layers_done: float
    use: Mapping[str, float]
    tasks_per_second: float
    peak_tasks: int

    @property
    def bottleneck(self) -> str:
        """The name of the resource that was used most."""
        return max(self.use, key=lambda name: self.use[name])


def simulate(fleet: SimulatedFleet, rates: Rates) -> SimulatedBatch:
    """Return how a batch of ``fleet`` goes on a cluster."""
    return _Simulation(fleet, rates).run()


class _Simulation:
    def __init__(self, fleet: SimulatedFleet, rates: Rates) -> None:
        self._rates = rates
        self._fleet = fleet
        self._clock = Clock()
        self._client = SharedResource(self._clock, "client", 1, 1)
        self._scheduler = SharedResource(self._clock, "scheduler", 1, 1)
        self._store = SharedResource(self._clock, "binary cache", rates.store, rates.connection)
        self._registry = SharedResource(self._clock, "registry bytes", rates.registry)
        self._requests = SharedResource(self._clock, "registry requests", rates.requests, 1 / rates.latency)
        self._tasks = deque(sorted(range(len(fleet.sizes)), key=lambda layer: (-fleet.sizes[layer], layer)))
        self._missing = [len(layers) for layers in fleet.images]
        self._users: dict[int, list[int]] = {}
        for number, layers in enumerate(fleet.images):
            for layer in layers:
                self._users.setdefault(layer, []).append(number)
        self._ready: deque[int] = deque(number for number, missing in enumerate(self._missing) if not missing)
        self._idle_finishers = rates.finishers
        self._worked = self._layers_done = self._began = 0.0
        self._handled: Counter[int] = Counter()

    def run(self) -> SimulatedBatch:
        """Run until all images are finished."""
        start_process(self._clock, self._prepare())
        self._clock.run()
        seconds, making = self._clock.now, self._layers_done - self._began
        shared = (self._client, self._scheduler, self._store, self._registry, self._requests)
        use = {resource.name: resource.measure_use(seconds) for resource in shared}
        use["workers"] = self._worked / (self._rates.workers * seconds) if seconds else 0.0
        rate = len(self._fleet.sizes) / making if making else 0.0
        return SimulatedBatch(seconds, self._layers_done, use, rate, max(self._handled.values(), default=0))

    def _prepare(self) -> Process:
        images, layers = len(self._fleet.images), len(self._fleet.sizes)
        yield (Use(images * self._rates.prepare + layers * self._rates.submit, self._client),)
        self._began = self._clock.now
        for _ in range(min(self._rates.workers, layers)):
            start_process(self._clock, self._work())
        self._start_finishers()

    def _work(self) -> Process:
        rates = self._rates
        while self._tasks:
            layer = self._tasks.popleft()
            size, began = self._fleet.sizes[layer], self._clock.now
            yield (Use(rates.schedule, self._scheduler),)
            self._handled[int(self._clock.now)] += 1
            yield (Use(rates.start),)
            yield (Use(size * rates.nar_ratio, self._store),)
            yield (Use(size / rates.pack), Use(size * rates.blob_ratio, self._registry))
            yield (Use(rates.layer_requests, self._requests),)
            self._worked += self._clock.now - began
            self._end_layer(layer)

    def _end_layer(self, layer: int) -> None:
        self._layers_done = self._clock.now
        for number in self._users.get(layer, ()):
            self._missing[number] -= 1
            if not self._missing[number]:
                self._ready.append(number)
        self._start_finishers()

    def _start_finishers(self) -> None:
        for _ in range(min(self._idle_finishers, len(self._ready))):
            self._idle_finishers -= 1
            start_process(self._clock, self._finish())

    def _finish(self) -> Process:
        while self._ready:
            layers = self._fleet.images[self._ready.popleft()]
            yield (Use(self._rates.finish, self._client),)
            requests = len(layers) * self._rates.mount_requests + self._rates.image_requests
            yield (Use(requests, self._requests),)
        self._idle_finishers += 1
