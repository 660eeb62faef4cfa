"""Carries out a race: a study whose networks leave it one by one, and a deadline.

Every stage is an ordinary study of those that are still in, on a share of the images,
carried out by study.driver: so it can be killed at any moment, and several processes
can share it. What is decided stands in race.json.
"""

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence

from tfxfer import architectures, errors, number_format, race_log, results
from tfxfer.analysis import cells, race_odds, races, stats, verdicts
from tfxfer.race import pace, rules
from tfxfer.race import shares as race_shares
from tfxfer.study import driver, executors, planning
from tfxfer.study.cost import Sizes
from tfxfer.study.study import TRAINED, Study

FIXED = 'logistic'
# Seconds before the deadline at which Runs are stopped: for the answer and the report.
RESERVE = 15.0


@dataclasses.dataclass(frozen=True)
class Terms:
    """What a race is run under.

    Attributes:
        minutes: until it answers.
        jobs: Runs at the same time.
        rates: images per second by network, see pace.Pace.
        executor: makes what carries Runs out, once for each stage.
        shard, wait: see driver.Driver.
        say: what is done with each sentence about the race.
    """

    minutes: float
    jobs: int
    rates: Mapping[str, float]
    executor: Callable[[], executors.Executor]
    say: Callable[[str], object]
    shard: tuple[int, int] = (0, 1)
    wait: bool = True


def check(study: Study, minutes: float) -> None:
    """Refuses what cannot be raced.

    Raises:
        errors.InputError: as said.
    """
    if not 0 < minutes < math.inf:
        raise errors.InputError(f'--minutes must be above 0; got {minutes:g}.')
    if FIXED not in study.settings:
        raise errors.InputError(
            'Under --minutes networks race by logistic regression on their features, '
            f'and the settings are {", ".join(study.settings)}. Add it: '
            f'--settings={FIXED},{",".join(study.settings)}.'
        )
    if study.per_class != (0,) or study.share is not None:
        raise errors.InputError(
            'Under --minutes the race chooses how many images are used. Leave '
            'per_class and share out.'
        )


class Race:
    """One study, one folder, one deadline.

    Its state: what of the folder was read last, and when this start began.
    """

    def __init__(
        self, study: Study, sizes: Sizes, workdir: str | pathlib.Path, terms: Terms
    ) -> None:
        """sizes: of the one dataset of the study.

        Raises:
            errors.InputError: see `check`.
        """
        check(study, terms.minutes)
        self.study, self.sizes, self.terms = study, sizes, terms
        self.workdir = pathlib.Path(workdir)
        self.shares = race_shares.shares(sizes)
        self.begun = time.monotonic()
        log = race_log.read(self.workdir)
        self.before = log.elapsed if log else 0.0
        self._read: dict[str, results.Record] = {}  # By Run id.
        self.until = self.begun + max(60 * terms.minutes - RESERVE, 0.0)

    @property
    def elapsed(self) -> float:
        """Seconds of the race over all of its starts."""
        return self.before + time.monotonic() - self.begun

    @property
    def left(self) -> float:
        """Seconds until Runs are stopped."""
        return self.until - time.monotonic()

    def carry_out(self) -> dict[str, list]:
        """Races until the deadline, or until nothing is left to measure.

        Returns:
            {Run id: failures} of Runs that failed for good.

        Raises:
            errors.InputError, OSError: see driver.Driver.carry_out.
        """
        failed: dict[str, list] = {}
        self._announce()
        try:
            for share in self.shares:
                if not self._stage(share, failed):
                    break
            else:
                self._train(failed)
        except KeyboardInterrupt:
            self._end('interrupted')
            raise
        self._end('time is up' if self.left <= 0 else 'nothing more fits')
        return failed

    def _end(self, why: str) -> None:
        """Notes why the race ends here, and what more time would buy."""
        needs = self._needs(self._contenders(1.0), 1.0)
        more = [need.whole for need in needs.values() if need.whole]
        if more:
            takes = number_format.duration(sum(more) / self.terms.jobs)
            are = 'network is' if len(more) == 1 else 'networks are'
            why += (
                f'; {len(more)} {are} still in and not measured on all images, which '
                f'takes about {takes} more'
            )
        else:
            why = 'all that is still in is measured on all images'
        elapsed = self.elapsed
        event = race_log.event('stopped', elapsed, f'{why[0].upper()}{why[1:]}.')
        race_log.change(self.workdir, [event], elapsed=round(elapsed, 1))

    # What is said before anything runs.

    def _announce(self) -> None:
        say, now = self.terms.say, self._pace()
        networks = self._contenders(self.shares[0])
        first = now.wall((name, self.shares[0]) for name in networks)
        whole = now.wall((name, 1.0) for name in networks)
        expected = f'all on all images in {number_format.duration(whole)}'
        if len(self.shares) > 1:
            share = races.named(self.shares[0])
            expected = f'all on {share} in {number_format.duration(first)}; {expected}'
        count = len(self.study.archs)
        sentences = [
            f'A race of {count} network{"s" if count > 1 else ""} under '
            f'{self.terms.minutes:.3g} minutes, on '
            f'{", ".join(races.named(share) for share in self.shares)}.',
            f'Expected: {expected}. {self._width()}',
        ]
        for name in networks:
            rate = now.rate(name)
            if rate:
                measured = 'measured' if name in now.rates else 'estimated'
                sentences.append(
                    f'  {architectures.short(name)}: {rate:.3g} images/s ({measured})'
                )
        shortest = min(
            (now.seconds(name, self.shares[0]) for name in networks), default=0.0
        )
        if shortest > self.left:
            sentences.append(
                'The first network takes about '
                f'{number_format.duration(shortest)}: --minutes='
                f'{math.ceil(2 * shortest / 60) + 1} gives an answer.'
            )
        text = '\n'.join(sentences)
        say(text)
        race_log.change(
            self.workdir,
            [race_log.event('planned', self.elapsed, ' '.join(sentences[:2]))],
            networks=self.study.archs,
            shares=self.shares,
            minutes=self.terms.minutes,
        )

    def _width(self) -> str:
        """How sure an accuracy will be, of all test images."""
        n = self.sizes.test
        low, high = stats.wilson(0.9 * n, n)
        return (
            f'With all {n} test images an accuracy of 90 % is known to within about '
            f'{50 * float(high - low):.2g} percentage points.'
        )

    # One stage.

    def _stage(self, share: float, failed: dict[str, list]) -> bool:
        """Measures at a share all that fit; whether the race goes on after it."""
        names = self._contenders(share)
        if len(names) == 1 and share < 1 and self._measured(names, share) != names:
            self._decide('settled', f'{architectures.short(names[0])} alone is left.')
            return True  # It is measured on all images, and nothing in between.
        fitting = self._fitting(names, share)
        if fitting:
            outcome = self._drive(fitting, share, (FIXED,))
            failed |= outcome.failed
            self._note_failures(fitting, share, outcome)
        measured = self._measured(names, share)
        alive = [name for name in fitting if name not in self._failed_at(share)]
        if set(alive) - set(measured):
            return False  # The deadline came.
        if len(measured) > 1 or (measured and share == 1):
            race_log.change(self.workdir, compared=share)
            self._judge(share)
        return bool(measured) and self.left > 0

    def _contenders(self, share: float) -> list[str]:
        """Networks that no smaller share has thrown out, the most promising first."""
        log = race_log.read(self.workdir) or race_log.RaceLog()
        out = {
            one.network
            for one in log.events
            if one.kind == 'dropped' and (one.share or 0) < share
        }
        names = [name for name in self.study.archs if name not in out]
        return rules.order(self._chance(), self._needs(names, share))

    def _chance(self) -> dict[str, float]:
        """{network of the study: probability that it is the best on all images}.

        Of networks that were not measured, by their ImageNet accuracy.
        """
        labels = self._labels()
        source = {
            labels.get(name, name): self._source(name) for name in self.study.archs
        }
        chance = race_odds.probabilities(self._stages(), source)
        names = {labels.get(name, name): name for name in self.study.archs}
        return {names[own]: p for own, p in chance.items() if own in names}

    def _needs(self, names: Sequence[str], share: float) -> dict[str, rules.Need]:
        """Seconds of one job that networks still take."""
        now = self._pace()
        return {
            name: rules.Need(now.seconds(name, share), now.seconds(name, 1.0))
            for name in names
        }

    def _source(self, name: str) -> float | None:
        arch = architectures.known(name)
        if arch is None:
            return None
        return arch.top1(self.study.weights_of(name))

    def _fitting(self, names: Sequence[str], share: float) -> list[str]:
        """Those that are measured now; of others that may be the best it is noted."""
        needs = self._needs(names, share)
        room = self.left * self.terms.jobs
        at_first = share == self.shares[0] and share < 1
        fitting = [
            name
            for name in rules.fitting(names, needs, room, first=at_first)
            if needs[name].next <= self.left
        ]
        for name in names:
            if name not in fitting:
                where = f'{architectures.short(name)} on {races.named(share)}'
                takes = number_format.duration(needs[name].next)
                left = number_format.duration(max(self.left, 0.0))
                first = ', and more promising networks come first'
                first = first if needs[name].next <= self.left else ''
                self._decide(
                    'unfit',
                    f'{where} would take about {takes}: {left} are left{first}.',
                    share,
                    name,
                )
        return fitting

    def _drive(
        self, names: Sequence[str], share: float, settings: Sequence[str]
    ) -> driver.Outcome:
        return driver.Driver(
            self._study(names, share, settings),
            self.workdir,
            self.terms.executor(),
            shard=self.terms.shard,
            wait=self.terms.wait,
        ).carry_out(self.until)

    def _study(
        self, names: Sequence[str], share: float, settings: Sequence[str]
    ) -> Study:
        return dataclasses.replace(
            self.study,
            archs=tuple(names),
            settings=tuple(settings),
            share=share if share < 1 else None,
        )

    def _note_failures(
        self, names: Sequence[str], share: float, outcome: driver.Outcome
    ) -> None:
        runs = {run.id: run for run in self._finals(names, share)}
        for name in outcome.failed:
            if name in runs:
                arch = runs[name].arch
                self._decide(
                    'dropped',
                    f'{architectures.short(arch)}: its Run failed '
                    f'({self.workdir}/{name}/log.txt).',
                    share,
                    arch,
                )

    def _failed_at(self, share: float) -> set[str]:
        log = race_log.read(self.workdir) or race_log.RaceLog()
        return {
            one.network
            for one in log.events
            if one.kind == 'dropped' and one.share == share
        }

    def _judge(self, share: float) -> None:
        """Throws out what is very improbably the best on all images."""
        measured = self._cells(share)
        judged, _ = verdicts.verdicts(measured, self.workdir)
        if not judged:
            return
        (verdict,) = judged
        best = verdict.best
        self._decide(
            'compared',
            f'{len(measured)} networks on {races.named(share)}: highest '
            f'{best.network}, {number_format.percent(best.score)} % of '
            f'{best.test_images} test images.',
            share,
        )
        if share >= 1:
            return
        chance = self._chance()
        leaving = set(rules.leaving(chance)) - set(
            self._measured(self.study.archs, 1.0)
        )
        for row in verdict.comparisons:
            arch = row.b.records[0].run.arch
            if arch in leaving:
                self._decide(
                    'dropped',
                    f'{row.b.network} is {number_format.percent(row.difference)} '
                    f'points below {best.network} on {races.named(share)}, and the '
                    'best on all images with a probability of '
                    f'{number_format.p_value(chance[arch])}.',
                    share,
                    arch,
                )

    # What follows the race.

    def _train(self, failed: dict[str, list]) -> None:
        """Trains the shortlist in what time is left, where the settings ask for it."""
        settings = [name for name in self.study.settings if name in TRAINED]
        if not settings or self.left <= 0:
            return
        judged, _ = verdicts.verdicts(self._cells(1.0), self.workdir)
        if judged:  # Those that are not told apart.
            close = (judged[0].best, *judged[0].close)
            shortlist = [cell.records[0].run.arch for cell in close]
        else:  # A metric without Verdicts: those that were measured.
            shortlist = self._measured(self.study.archs, 1.0)
        names = [name for name in self.study.archs if name in shortlist]
        if names:
            shown = ', '.join(map(architectures.short, names))
            self._decide('trained', f'{", ".join(settings)} of {shown}.', 1.0)
            failed |= self._drive(names, 1.0, settings).failed

    # What the folder says.

    def _decide(
        self, kind: str, why: str, share: float | None = None, network: str = ''
    ) -> None:
        """Notes a decision, and says it if it is new."""
        event = race_log.event(kind, self.elapsed, why, share=share, network=network)
        if event in race_log.change(self.workdir, [event]).events:
            elapsed = number_format.duration(self.elapsed)
            self.terms.say(f'{elapsed:>9}  {kind:8}  {why}')

    def _finals(self, names: Sequence[str], share: float) -> list:
        study = self._study(names, share, (FIXED,))
        return [cell.base for cell in planning.cells(study)]

    def _records(self) -> dict[tuple[str, float], results.Record]:
        """Of the logistic Runs of this study, by network and share."""
        found = {}
        for share in self.shares:
            for run in self._finals(self.study.archs, share):
                if run.id not in self._read:
                    record = results.read_done(self.workdir / run.id)
                    if record is None:
                        continue
                    self._read[run.id] = record
                found[run.arch, share] = self._read[run.id]
        return found

    def _measured(self, names: Sequence[str], share: float) -> list[str]:
        found = self._records()
        return [name for name in names if (name, share) in found]

    def _cells(self, share: float) -> list[cells.Cell]:
        return self._by_share()[share]

    def _by_share(self) -> dict[float, list[cells.Cell]]:
        found = self._records()
        return {
            share: cells.cells([found[key] for key in found if key[1] == share])
            for share in self.shares
        }

    def _labels(self) -> dict[str, str]:
        """{network of the study: its name in Cells}."""
        return {
            cell.records[0].run.arch: cell.network
            for group in self._by_share().values()
            for cell in group
        }

    def _stages(self) -> list[race_odds.Stage]:
        found = (
            race_odds.stage(share, group, str(self.workdir))
            for share, group in self._by_share().items()
        )
        return [one for one in found if one is not None]

    def _pace(self) -> pace.Pace:
        return pace.Pace(self.sizes, self.terms.jobs, self.terms.rates, self._records())
