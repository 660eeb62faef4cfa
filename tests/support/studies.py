"""Small studies, their Records, and executors that start no process."""

import dataclasses
import json
import pathlib

import pytest

from tests.support import made_results
from tfxfer import results
from tfxfer.study import checks, planning

# 2 networks x 2 datasets; finetune has 2 x 2 points, scratch 1 x 2.
FIELDS = {
    'archs': ('mobilenet_v1', 'mobilenet_v2'),
    'datasets': ('digits', 'digits_5_9'),
    'finetune': {'lrs': (0.1, 0.01), 'wds': (0.0, 1e-5), 'steps': 10},
    'scratch': {'lrs': (0.1,), 'wds': (1e-5, 1e-4), 'steps': 20},
}
# 2 networks x 2 seeds x (2 trials and 1 final) = 12 Runs, of which 8 start at once.
SCRATCH = {
    'archs': ('mobilenet_v1_0.25', 'mobilenet_v1_0.5'),
    'datasets': ('digits_5_9',),
    'settings': ('scratch',),
    'seeds': (0, 1),
    'scratch': {'lrs': (0.1, 0.01), 'wds': (1e-5,), 'steps': 50},
}


def study(fields=FIELDS, **changes):
    return checks.study_from({**fields, **changes})


def one_cell(**changes):
    """A study of one cell: fine-tuning, 4 x 2 points of 16 steps."""
    grid = {'lrs': (1.0, 0.1, 0.01, 0.001), 'wds': (0.0, 1e-5), 'steps': 16}
    fields = {
        'archs': ('mobilenet_v1',),
        'datasets': ('digits',),
        'settings': ('finetune',),
        'finetune': grid,
    }
    return study({**FIELDS, **fields}, **changes)


def with_images(study, images):
    """The study as it is once its datasets are read."""
    return dataclasses.replace(study, images=images)


def plan(study, done):
    return planning.plan(planning.cells(study), done)


def record(run, score=0.5):
    final = run.phase == 'final'
    return results.Record(run, 'top1', score if final else None, score, {}, ())


def carried_out(study, score=lambda run: 0.5):
    """Carries a study out on paper: (waves of Runs, Records by id)."""
    records, waves = {}, []
    while (now := plan(study, records)).ready:
        waves.append(list(now.ready.values()))
        records |= {run.id: record(run, score(run)) for run in waves[-1]}
    assert now.waiting == 0 and now.done.keys() == records.keys()
    return waves, records


def write(workdir, run):
    """Writes what a Run leaves, 1 s after its start; of trials, lr decides."""
    score = None if run.phase == 'trial' else 0.5
    made = made_results.record(run, score, valid_score=0.5 + run.hparams.lr / 10)
    results.write(workdir, made, made_results.predictions(50))


def left_by_runs(workdir):
    """{Run id: (fields of the record, arrays)}, without times and hosts."""
    left = {}
    for path in sorted(pathlib.Path(workdir).glob('*/record.json')):
        record = json.loads(path.read_text())
        assert record['seconds'].pop('total') > 0
        del record['seconds'], record['versions']['host']
        arrays = results.read_predictions(path.parent)
        bits = {name: (a.dtype.str, a.tobytes()) for name, a in arrays.items()}
        left[path.parent.name] = record, bits
    return left


def rows(text):
    """{first cell: the others} of the tables in a text."""
    lines = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in text.splitlines()
    ]
    return {first: others for first, *others in lines}


class InstantExecutor:
    """Runs end at once, with made-up records, or with the exit statuses in `ends`."""

    def __init__(self, workdir, jobs=2):
        self.workdir, self.jobs = workdir, jobs
        self.running, self.started, self.ends = {}, [], {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def free(self):
        return self.jobs - len(self.running)

    def start(self, run):
        results.write_run(self.workdir, run)
        assert run.id not in self.running
        self.running[run.id] = run
        self.started.append(run.id)

    def finished(self, seconds):
        if not self.running:
            return {}
        name, run = next(iter(self.running.items()))
        del self.running[name]
        ends = self.ends.get(name)
        status = ends.pop(0) if ends else 0
        if status:
            log = results.folder(self.workdir, run) / 'log.txt'
            log.write_text(f'error: broken with {status}\n')
        else:
            write(self.workdir, run)
        return {name: status}


class HereExecutor(InstantExecutor):
    """Runs are carried out in this process, one after the other."""

    def __init__(self, workdir):
        super().__init__(workdir, jobs=1)

    def finished(self, seconds):
        from tfxfer.transfer import execute
        from tfxfer.transfer.options import ExecutionOptions

        ended = {}
        for name, run in self.running.items():
            execute.execute(run, ExecutionOptions(self.workdir))
            ended[name] = 0
        self.running.clear()
        return ended


@pytest.fixture
def here(fakes, monkeypatch):
    """The tiny network is there, and a sweep carries its Runs out in this process."""
    from tfxfer.study import executors

    def local(workdir, **options):
        return HereExecutor(workdir)

    monkeypatch.setattr(executors, 'Local', local)
