import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.conftest import ROOT
from tests.support import made_results
from tfxfer import errors, leases, results, storage
from tfxfer.study import driver, sweep

STUDY = {
    'archs': ('mobilenet_v1_0.25', 'mobilenet_v1_0.5'),
    'datasets': ('digits_5_9',),
    'settings': ('scratch',),
    'seeds': (0, 1),
    'scratch': {'lrs': (0.1, 0.01), 'wds': (1e-5,), 'steps': 50},
}


class Paper:
    """An executor whose Runs end at once, with hand-made records or failures."""

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


def write(workdir, run):
    score = None if run.phase == 'trial' else 0.5
    record = made_results.record(run, score, valid_score=0.5 + run.hparams.lr)
    results.write(workdir, record, made_results.predictions(50))


def study(**fields):
    return sweep.study_from({**STUDY, **fields})


def carry_out(workdir, executor, **options):
    return driver.Driver(study(), workdir, executor, **options).carry_out()


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(driver, 'WAIT', 0.05)


def test_all_is_done_and_nothing_twice(tmp_path):
    paper = Paper(tmp_path)
    outcome = carry_out(tmp_path, paper)
    # 2 networks x 2 seeds x (2 trials and 1 final).
    assert len(outcome.done) == 12 == len(set(paper.started)) == len(paper.started)
    assert (outcome.failed, outcome.elsewhere) == ({}, 0)
    again = Paper(tmp_path)
    assert carry_out(tmp_path, again).done.keys() == outcome.done.keys()
    assert again.started == []


def some_trial():
    cell = next(iter(sweep.cells(study())))
    return cell.trials[0]


def test_a_run_that_fails_once_is_tried_again(tmp_path):
    paper = Paper(tmp_path)
    name = some_trial().id
    paper.ends[name] = [1]
    outcome = carry_out(tmp_path, paper)
    assert len(outcome.done) == 12 and not outcome.failed
    assert paper.started.count(name) == 2


def test_a_run_that_fails_twice_is_set_aside_and_the_rest_goes_on(tmp_path, capfd):
    paper = Paper(tmp_path)
    name = some_trial().id
    paper.ends[name] = [1, -11]
    outcome = carry_out(tmp_path, paper)
    assert list(outcome.failed) == [name]
    assert [fault['status'] for fault in outcome.failed[name]] == [1, -11]
    assert outcome.failed[name][0]['words'] == 'error: broken with 1'
    assert len(outcome.done) == 10  # Its own cell has no final.
    assert paper.started.count(name) == 2
    assert f'FAILED (exit status -11): {name}.' in capfd.readouterr().err
    # Another driver, or the same command again, knows.
    later = Paper(tmp_path)
    assert list(carry_out(tmp_path, later).failed) == [name]
    assert later.started == []
    progress = driver.status(study(), tmp_path)
    assert list(progress.failed) == [name]
    assert driver.forget_failures(tmp_path) == 1
    last = Paper(tmp_path)
    outcome = carry_out(tmp_path, last)
    assert len(outcome.done) == 12 and not outcome.failed
    assert last.started[0] == name and len(last.started) == 2


def test_runs_killed_from_outside_have_more_chances(tmp_path):
    paper = Paper(tmp_path)
    name = some_trial().id
    paper.ends[name] = [-signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM, 130]
    assert not carry_out(tmp_path, paper).failed
    assert paper.started.count(name) == 5
    driver.forget_failures(tmp_path)
    for _ in range(driver.KILLS):
        driver.write_failure(tmp_path, name, -9, '')
    assert driver.hopeless(driver.read_failures(tmp_path, name))


def test_a_run_that_was_stopped_and_saved_has_not_failed(tmp_path):
    paper = Paper(tmp_path)
    name = some_trial().id
    paper.ends[name] = [75, 75, 75]
    outcome = carry_out(tmp_path, paper)
    assert len(outcome.done) == 12 and paper.started.count(name) == 4
    assert driver.read_failures(tmp_path, name) == []


def test_what_another_process_is_at_is_left_to_it_and_waited_for(tmp_path):
    run = some_trial()
    lease = leases.claim(tmp_path, run.id, lost=lambda: None)
    paper = Paper(tmp_path)
    outcome = carry_out(tmp_path, paper, wait=False)
    assert run.id not in paper.started
    assert (len(outcome.done), outcome.elsewhere) == (10, 1)
    assert list(driver.status(study(), tmp_path).running) == [run.id]

    class Late(Paper):
        """The other process ends while this driver waits."""

        def finished(self, seconds):
            if not (results.folder(tmp_path, run) / 'record.json').exists():
                assert not self.running  # Its final cannot have begun.
                write(tmp_path, run)
                lease.release(done=True)
            return super().finished(seconds)

    late = Late(tmp_path)
    outcome = carry_out(tmp_path, late)
    assert len(outcome.done) == 12
    assert len(late.started) == 1  # The final.


def elsewhere(workdir, run):
    """A lease of a process on another machine; returns its file."""
    leases.claim(workdir, run.id, lost=lambda: None)
    (path,) = (workdir / 'leases').glob(f'{run.id}.*')
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {'machine': 'elsewhere', 'host': 'node7'}))
    return path


def test_without_waiting_it_leaves_a_run_to_who_shows_to_be_alive(tmp_path):
    path = elsewhere(tmp_path, some_trial())
    then = time.time() - 100
    os.utime(path, (then, then))
    renewed = threading.Timer(1.0, os.utime, [path])
    renewed.start()
    begun = time.monotonic()
    outcome = carry_out(tmp_path, Paper(tmp_path), wait=False)
    assert (len(outcome.done), outcome.elsewhere) == (10, 1)
    assert time.monotonic() - begun > 0.9
    renewed.join()


def test_without_waiting_it_takes_over_from_who_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, 'EXPIRES', 1.0)
    elsewhere(tmp_path, some_trial())
    outcome = carry_out(tmp_path, Paper(tmp_path), wait=False)
    assert (len(outcome.done), outcome.elsewhere) == (12, 0)


def test_records_of_another_driver_are_taken_before_a_run_starts(tmp_path):
    class Beside(Paper):
        """Another driver does a Run for each that starts here."""

        def start(self, run):
            assert not (results.folder(tmp_path, run) / 'record.json').exists()
            super().start(run)
            now = sweep.plan(tuple(sweep.cells(study())), driver.read_done(tmp_path))
            for other in now.ready.values():
                if other.id not in self.running:
                    write(tmp_path, other)
                    return

    beside = Beside(tmp_path, jobs=1)
    assert len(carry_out(tmp_path, beside).done) == 12
    assert len(beside.started) < 9


def test_shards_begin_apart_and_cover_all(tmp_path):
    firsts = []
    for i in range(3):
        paper = Paper(tmp_path / str(i))
        assert len(carry_out(paper.workdir, paper, shard=(i, 3)).done) == 12
        trials = [name for name in paper.started if '-trial-' in name]
        turns = [(int(name[-8:], 16) - i) % 3 for name in trials]
        assert turns == sorted(turns) and len(set(turns)) > 1
        firsts.append(paper.started[0])
    assert len(set(firsts)) == 3


def test_checkpoints_that_nothing_goes_on_from_are_removed(tmp_path):
    fields = {'lrs': (0.1, 0.01, 0.001, 1.0), 'wds': (1e-5,), 'steps': 16}
    halving = study(
        archs=('mobilenet_v1_0.25',), seeds=(0,), scratch=fields, search='halving',
        eta=2,
    )  # fmt: skip

    class Keeps(Paper):
        def finished(self, seconds):
            for name, run in self.running.items():
                if run.until:
                    (tmp_path / name / 'ckpt').mkdir(exist_ok=True)
            return super().finished(seconds)

    outcome = driver.Driver(halving, tmp_path, Keeps(tmp_path)).carry_out()
    assert len(outcome.done) == 4 + 2 + 1 + 1
    assert not list(tmp_path.glob('*/ckpt'))


def test_time_left_is_the_mean_of_what_is_done(tmp_path):
    """3 trials of 1 s each are done (made_results), 5 are left, finals unknown."""
    cells = tuple(sweep.cells(study()))
    driver.write_study(tmp_path, study())
    then = time.time() - 1800
    os.utime(tmp_path / driver.STUDY, (then, then))
    for run in list(sweep.plan(cells, {}).ready.values())[:3]:
        write(tmp_path, run)
    plan = driver.status(study(), tmp_path).plan
    said = driver.pace(plan, tmp_path, running=1)
    assert said.startswith(
        '6 Runs/h since the last start; about 5.0 s left, and 4 Runs'
    )
    assert driver.pace(plan, tmp_path, running=0).endswith('nothing is running.')


def test_a_folder_of_another_schema_version_is_refused(tmp_path):
    driver.write_study(tmp_path, study())
    driver.check_schema(tmp_path)
    read = driver.read_study(tmp_path)
    assert list(sweep.cells(read)) == list(sweep.cells(study()))
    facts = json.loads((tmp_path / driver.STUDY).read_text())
    storage.write_json(tmp_path / driver.STUDY, facts | {'schema': 99})
    with pytest.raises(errors.InputError, match='schema version 99'):
        driver.check_schema(tmp_path)
    with pytest.raises(errors.InputError, match='schema version 99'):
        driver.read_study(tmp_path)


def test_a_record_of_another_schema_version_is_refused(tmp_path):
    write(tmp_path, some_trial())
    path = tmp_path / some_trial().id / 'record.json'
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 0'))
    with pytest.raises(errors.InputError, match='schema'):
        driver.check_schema(tmp_path)


def test_status_of_a_folder_without_sweep(tmp_path):
    with pytest.raises(errors.InputError, match='No sweep has been started'):
        driver.read_study(tmp_path)


# The program.


def tool(*flags, check=0):
    ran = subprocess.run(
        [sys.executable, '-m', 'tools.sweep', *flags], capture_output=True, text=True
    )
    assert ran.returncode == check, ran.stderr
    return ran.stderr if check else ran.stdout


CONFIG = '--config=configs/quickstart.py'


def test_plan_counts_by_hand_and_starts_nothing(tmp_path):
    out = tool(CONFIG, f'--workdir={tmp_path / "w"}', '--plan', '--images_per_second=8')
    rows = {
        cells[0]: cells[1:]
        for line in out.splitlines()
        if (cells := [cell.strip() for cell in line.strip('|').split('|')])
    }
    # 3 networks; 2 x 2 and 2 x 1 points; 50 and 100 steps of 32 images.
    assert rows['finetune trial'][:3] == ['12', '600', '19,200']
    assert rows['scratch trial'][:3] == ['6', '600', '19,200']
    assert rows['pretrain final'][:3] == ['3', '900', '28,800']
    assert rows['all'][0] == '30'
    trained, seen = (int(rows['all'][i].replace(',', '')) for i in (2, 3))
    assert rows['all'][4] == f'{(trained / 8 + seen / 24) / 3600:.2g}'
    assert not (tmp_path / 'w').exists()


def test_axes_are_narrowed_by_names_of_any_kind(tmp_path):
    out = tool(
        CONFIG, f'--workdir={tmp_path}', '--plan', '--nocalibrate',
        '--config.archs=mobilenet_v1_0.25,mobilenet_v2_0.35',
        '--config.datasets=digits,digits_5_9', '--config.settings=logistic',
    )  # fmt: skip
    assert '| logistic final | 4 ' in out and '| pretrain final | 2 ' in out


def test_plan_measures_this_machine_once(tmp_path):
    flags = [
        CONFIG, f'--workdir={tmp_path}', '--plan', '--config.image_size=32',
        '--config.archs=mobilenet_v1_0.25',
    ]  # fmt: skip
    first = tool(*flags)
    path = tmp_path / 'cache' / 'rates.json'
    (((train, infer),),) = [json.loads(path.read_text()).values()]
    assert f'{train:.1f} images/s in training, {infer:.1f} scored' in first
    assert 'device-hours' in first
    assert infer > train > 10  # A tiny network.
    assert tool(*flags) == first  # Not measured again.
    assert [p.name for p in tmp_path.iterdir()] == ['cache']


def test_plan_of_what_is_not_on_this_machine(tmp_path):
    out = tool(
        CONFIG, f'--workdir={tmp_path}', '--plan', '--nocalibrate',
        '--config.datasets=food101', '--config.weights=slim',
        '--config.archs=resnet_50', f'--data={tmp_path}',
        '--config.settings=logistic', '--config.per_class=0',
    )  # fmt: skip
    assert '101,000' in out  # Every image of Food-101 through the network once.
    assert 'Not here yet: ' in out and 'food101' in out


def test_status_reads_the_folder_alone(tmp_path):
    driver.write_study(tmp_path, study())
    carry_out(tmp_path, Paper(tmp_path))
    name = some_trial().id
    (tmp_path / name / 'record.json').unlink()
    for status in (1, 2):
        driver.write_failure(tmp_path, name, status, 'error: no')
    out = tool('--status', f'--workdir={tmp_path}')
    row = next(line for line in out.splitlines() if 'mobilenet_v1_0.25 ' in line)
    cells = [cell.strip() for cell in row.strip('|').split('|')]
    assert cells == ['mobilenet_v1_0.25', 'digits_5_9', '4', '0', '0', '1']
    assert '10 of 12 Runs are done, 0 running, 1 failed; 1 more wait' in out
    assert 'error: no' in out and '--retry_failed' in out


@pytest.mark.parametrize(
    'flags, message',
    [
        (['--shard=4/3'], 'of 3 shards the first is 0 and the last 2'),
        (['--shard=1/0'], 'there is no shard'),
        (['--shard=one'], '--shard takes I/N'),
        (['--config.archs=resnet_51'], "Did you mean 'resnet_50'"),
        (['--config.search=fast'], 'No search named'),
        (['--plan', '--images_per_second=fast'], 'takes RATE or NETWORK:RATE'),
        (['--plan', '--images_per_second=mobilenet_v1_0.25:9'], 'says nothing of'),
    ],
)
def test_bad_input_is_named_before_anything_starts(tmp_path, flags, message):
    err = tool(CONFIG, f'--workdir={tmp_path / "w"}', *flags, check=2)
    assert message in err
    assert not list(tmp_path.glob('w/*-*'))


def test_a_ray_address_that_does_not_answer_is_named(tmp_path):
    pytest.importorskip('ray')
    begun = time.monotonic()
    flags = CONFIG, f'--workdir={tmp_path}'
    err = tool(*flags, '--ray_address=127.0.0.1:1', check=2)
    assert 'Nothing answers at --ray_address=127.0.0.1:1' in err
    assert time.monotonic() - begun < 30
    assert 'none of auto, HOST:PORT' in tool(*flags, '--ray_address=here', check=2)


def test_the_sbatch_file_starts_a_shard(tmp_path):
    environment = os.environ | {
        'SLURM_ARRAY_TASK_ID': '15',
        'SLURM_ARRAY_TASK_COUNT': '16',
        'PATH': f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}',
    }
    ran = subprocess.run(
        ['bash', 'docs/slurm.sbatch', CONFIG, f'--workdir={tmp_path}', '--plan',
         '--images_per_second=9'],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert '| all            | 30 ' in ran.stdout
    assert driver_flags('docs/slurm.sbatch') >= {'--shard', '--nowait'}


def test_flags_of_the_kubernetes_job_exist():
    known = tool('--help')
    for flag in driver_flags('docs/kubernetes.yaml'):
        assert flag.replace('--no', '--[no]') in known or flag in known


def driver_flags(path):
    """Flags in the lines of a file that are no comments."""
    text = (ROOT / path).read_text().split('tools.sweep', 1)[1]
    return set(re.findall(r'(--\w+)', text))
