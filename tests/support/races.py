"""Races in which time and results are made up: what is decided is real."""

import time

import numpy as np

from tests.support import made_results, studies
from tfxfer import results
from tfxfer.race import race
from tfxfer.race import shares as race_shares
from tfxfer.study.cost import Sizes

SIZES = Sizes(train=640, valid=160, test=800, classes=5)  # Shares 1/16 to 1.
ARCHS = ('mobilenet_v1', 'mobilenet_v2', 'densenet_121', 'resnet_50')
FIELDS = {
    'archs': ARCHS,
    'datasets': ('digits',),
    'settings': ('logistic',),
    'weights': 'slim',
    'logistic': {'l2s': tuple(made_results.CURVE)},
    'finetune': {'lrs': (0.1,), 'wds': (0.0,), 'steps': 10},
}


class Clock:
    """time.monotonic, which only Runs move on."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(time, 'monotonic', lambda: self.now)


def predictions(arch, n, accuracy):
    """Of the first n of 800 test images, as a network of this accuracy makes them.

    Images differ in how hard they are, in the same way for all networks.
    """
    common = np.random.default_rng(0).random(SIZES.test)
    own = np.random.default_rng(sum(map(ord, arch))).random(SIZES.test)
    hard = np.argsort(np.argsort(0.7 * common + 0.3 * own)) / SIZES.test
    right = (hard < accuracy)[:n]
    label = (np.arange(n) % 5).astype(np.int32)
    logits = np.zeros((n, 5), np.float32)
    logits[np.arange(n), np.where(right, label, (label + 1) % 5)] = 1
    return {'index': np.arange(n) + 1000, 'label': label, 'logits': logits}


class Executor(studies.InstantExecutor):
    """One Run at a time, of `seconds` [arch] per image and `overhead`."""

    def __init__(self, workdir, clock, accuracies, *, seconds=0.1, overhead=5.0):
        super().__init__(workdir, jobs=1)
        self.clock, self.accuracies = clock, accuracies
        self.seconds, self.overhead = seconds, overhead
        self.began = {}
        self.images = {}  # Whose features are cached, by network.

    def __exit__(self, *exception):
        self.running.clear()  # As processes that are stopped.

    def start(self, run):
        super().start(run)
        self.began[run.id] = self.clock.now

    def _takes(self, run):
        images = race_shares.images(SIZES, run.share or 1.0)
        new = max(0, images - self.images.get(run.arch, 0))
        return self.overhead + self.seconds * new

    def finished(self, seconds):
        if not self.running:
            return {}
        name, run = next(iter(self.running.items()))
        takes = self._takes(run)
        end = self.began[name] + takes
        self.clock.now = min(end, self.clock.now + seconds)
        if self.clock.now < end:
            return {}
        del self.running[name]
        ends = self.ends.get(name)
        if status := ends.pop(0) if ends else 0:
            log = results.folder(self.workdir, run) / 'log.txt'
            log.write_text('error: broken\n')
            return {name: status}
        self.images[run.arch] = race_shares.images(SIZES, run.share or 1.0)
        n = round((run.share or 1.0) * SIZES.test)
        arrays = predictions(run.arch, n, self.accuracies[run.arch])
        score = float((arrays['logits'].argmax(1) == arrays['label']).mean())
        if run.phase == 'trial':
            score = None
        made = made_results.record(run, score, n=n, seconds=takes)
        results.write(self.workdir, made, arrays)
        return {name: 0}


def raced(workdir, executor, minutes, *, fields=FIELDS, say=lambda text: None):
    """Carries a race out; returns what race.Race.carry_out does."""
    study = studies.study(fields)
    rates = dict.fromkeys(study.archs, 1 / executor.seconds)
    terms = race.Terms(minutes, 1, rates, lambda: executor, say)
    return race.Race(study, SIZES, workdir, terms).carry_out()
