"""What a race has measured and decided, read from its folder."""

import dataclasses
import os

from tfxfer import architectures, race_log, results
from tfxfer.analysis import cells, race_odds


@dataclasses.dataclass(frozen=True)
class Raced:
    """A race so far.

    Attributes:
        log: its decisions.
        by_share: logistic Cells by share of the images.
        chance: {network: probability} of having the highest score on all images; see
            race_odds.probabilities. {} where nothing can be said.
    """

    log: race_log.RaceLog
    by_share: dict[float, list[cells.Cell]]
    chance: dict[str, float]

    @property
    def last(self) -> dict[str, cells.Cell]:
        """{network: its Cell at the largest share that it was measured at}."""
        found = {}
        for share in sorted(self.by_share):
            for cell in self.by_share[share]:
                found[cell.network] = cell
        return found

    def unseen(self) -> list[str]:
        """Networks that were to race and have not been measured at all."""
        seen = {
            cell.records[0].run.arch
            for group in self.by_share.values()
            for cell in group
        }
        lacking = [name for name in self.log.networks if name not in seen]
        return [architectures.short(name) for name in lacking]

    def out(self) -> dict[str, race_log.Event]:
        """{network: why it was dropped}, by the networks' names in Cells."""
        return self._named('dropped')

    def unfit(self) -> dict[str, race_log.Event]:
        """{network: why it was not measured further}, without those dropped since."""
        dropped = self._named('dropped')
        last = self.last
        return {
            name: one
            for name, one in self._named('unfit').items()
            if name not in dropped
            and not (name in last and last[name].share >= (one.share or 0.0))
        }

    def _named(self, kind):
        names = {
            cell.records[0].run.arch: cell.network
            for group in self.by_share.values()
            for cell in group
        }
        return {names.get(arch, arch): e for arch, e in self.log.of(kind).items()}


def read(workdir: str | os.PathLike) -> Raced | None:
    """The race in a results folder; None: there was none.

    Raises:
        errors.InputError: a damaged file; see verdicts.verdicts.
    """
    log = race_log.read(workdir)
    if log is None:
        return None
    records = [
        record
        for record in results.read_folder(workdir).records
        if record.run.phase == 'final' and record.run.setting == 'logistic'
    ]
    by_share = cells.grouped(records, lambda record: record.run.share or 1.0)
    found = {share: cells.cells(group) for share, group in sorted(by_share.items())}
    stages = (
        race_odds.stage(share, group, str(workdir)) for share, group in found.items()
    )
    source = race_odds.imagenet([cell for group in found.values() for cell in group])
    chance = race_odds.probabilities([one for one in stages if one], source)
    return Raced(log, found, chance)


def named(share: float) -> str:
    """Such as '1/8 of the images'."""
    return 'all images' if share >= 1 else f'1/{round(1 / share)} of the images'
