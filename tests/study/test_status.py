import os
import time

import pytest

from tests.support import studies
from tfxfer import leases
from tfxfer.study import failures, status, study_file

STUDY = studies.study(studies.SCRATCH)
ARCH = 'mobilenet_v1_0.25'


@pytest.fixture
def begun(tmp_path):
    """3 of the 4 trials of the first network are done, 1 s each; half an hour ago."""
    study_file.write(tmp_path, STUDY)
    then = time.time() - 1800
    os.utime(tmp_path / study_file.NAME, (then, then))
    for run in list(studies.plan(STUDY, {}).ready.values())[:3]:
        studies.write(tmp_path, run)
    return tmp_path


def test_time_left_is_the_mean_of_what_is_done(begun):
    plan = status.progress(STUDY, begun).plan
    pace = status.pace(plan, begun)
    assert pace.per_hour == pytest.approx(6, rel=0.01)
    # 5 trials of 1 s each; of the finals, 1 ready and 3 waiting, none was done.
    assert (pace.left, pace.unknown) == (pytest.approx(5), 4)
    said = status.pace_sentence(pace, running=2)
    assert '6 Runs/h' in said and '2.5 s left' in said and '4 Runs' in said
    assert 'nothing is running' in status.pace_sentence(pace, running=0)


def test_a_folder_without_sweep_has_no_pace(tmp_path):
    assert status.pace(studies.plan(STUDY, {}), tmp_path) is None


def test_counts_by_network_and_what_failed_by_hand(begun):
    ready = list(status.progress(STUDY, begun).plan.ready)
    lease = leases.claim(begun, ready[0], lost=lambda: None)
    (begun / ready[1]).mkdir()
    for exit_status in (1, 2):
        failures.add(begun, ready[1], exit_status, 'error: no')
    progress = status.progress(STUDY, begun)
    assert (list(progress.running), list(progress.failed)) == (ready[:1], ready[1:2])
    first, second = status.counts(progress).items()
    assert first[0] == (ARCH, 'digits_5_9')
    # Of the first network: 3 trials, the fourth, and the final of a seed.
    total = {s: first[1][s] + second[1][s] for s in status.STATES}
    assert total == {'done': 3, 'running': 1, 'waiting': 4, 'failed': 1}
    text = '\n'.join(status.sentences(progress, begun))
    assert text.startswith('3 of 12 Runs are done, 1 running, 1 failed; 3 more')
    assert f'process {os.getpid()} on' in text
    assert 'exit status 2' in text and 'error: no' in text and '--retry_failed' in text
    lease.release(done=False)


def test_the_best_score_is_named_for_every_dataset():
    study = studies.study(studies.SCRATCH, datasets=('digits', 'digits_5_9'))

    def score(run):
        return 0.6 if (run.dataset, run.seed) == ('digits', 1) else 0.5

    _, records = studies.carried_out(study, score)
    said = status.best_scores(studies.plan(study, records), records)
    assert '60.0 % on digits' in said and '50.0 % on digits_5_9' in said
    assert said.index('60.0') < said.index('50.0')
    assert status.best_scores(studies.plan(study, {}), {}) == ''
