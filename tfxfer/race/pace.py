"""How long a network takes at a share of the images, before it is measured there."""

import dataclasses
from collections.abc import Iterable, Mapping

from tfxfer import architectures, results
from tfxfer.race import shares as race_shares
from tfxfer.study.cost import Sizes

OVERHEAD = 10.0  # Seconds of a Run that it takes however few its images are.


@dataclasses.dataclass(frozen=True)
class Pace:
    """What is known of how fast a machine is.

    Attributes:
        sizes: of the dataset.
        jobs: Runs at the same time.
        rates: images per second through a network on all of the machine, where that was
            measured.
        records: of the networks' logistic Runs, by network and share.
    """

    sizes: Sizes
    jobs: int
    rates: Mapping[str, float]
    records: Mapping[tuple[str, float], results.Record]

    def seconds(self, arch: str, share: float) -> float:
        """What a network's Run takes at a share, of one of the jobs; 0: it is done.

        The features of smaller shares that are done are cached.
        """
        if (arch, share) in self.records:
            return 0.0
        done = [one for name, one in self.records if name == arch and one < share]
        before = max(done, default=None)
        new = race_shares.images(self.sizes, share)
        new -= race_shares.images(self.sizes, before)
        return self.overhead + new * self._per_image(arch, sorted(done))

    @property
    def overhead(self) -> float:
        """Seconds of a Run without its images."""
        took = [_total(record) for record in self.records.values()]
        return min([OVERHEAD, *took])

    def wall(self, needs: Iterable[tuple[str, float]]) -> float:
        """What Runs of (network, share) take together, on all jobs."""
        return sum(self.seconds(*one) for one in needs) / self.jobs

    def rate(self, arch: str) -> float | None:
        """Images per second on all of the machine: measured, or by multiply-adds."""
        if arch in self.rates:
            return self.rates[arch]
        work = {name: _work(name) for name in self.rates}
        known = [(name, w) for name, w in work.items() if w]
        if not known:
            return next(iter(self.rates.values()), None)
        name, of_known = known[0]
        own = _work(arch) or of_known
        return self.rates[name] * of_known / own

    def _per_image(self, arch: str, done: list[float]) -> float:
        """Of one job; done: shares at which the network was measured, in order."""
        if done:
            before = done[-2] if len(done) > 1 else None
            new = race_shares.images(self.sizes, done[-1])
            new -= race_shares.images(self.sizes, before)
            took = _total(self.records[arch, done[-1]])
            return max(took - self.overhead, 0.0) / max(new, 1)
        rate = self.rate(arch)
        return self.jobs / rate if rate else 0.0


def _total(record: results.Record) -> float:
    return float(record.seconds.get('total', 0.0))


def _work(name: str) -> int | None:
    known = architectures.known(name)
    return known.multiply_adds if known else None
