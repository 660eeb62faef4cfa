import csv

import pytest

from tests.conftest import ROOT
from tests.support import made_results, studies
from tfxfer import results
from tfxfer.cli import app, dataset_size


def test_one_size_is_nothing_to_compare():
    records = [made_results.final('mobilenet_v1', 'logistic', 0.5, per_class=5)]
    assert '5' in dataset_size.summary(records)


def test_it_has_a_config_of_its_own(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    app.call(
        dataset_size,
        [f'--workdir={tmp_path}', '--plan', '--nocalibrate', f'--data={tmp_path}'],
    )
    out = studies.rows(capsys.readouterr().out)
    # 3 datasets x 7 sizes x 3 seeds, of 56 points each.
    assert out['finetune trial'][0] == f'{63 * 56:,}'


@pytest.mark.slow
def test_the_experiment_ends_with_its_tables(here, capsys, tmp_path):
    app.call(
        dataset_size,
        [
            f'--config={ROOT}/configs/quickstart.py', '--config.archs=tiny',
            '--config.datasets=colours', '--config.source=colours', '--config.seeds=0',
            '--config.pretrain.steps=4', '--config.settings=finetune,scratch',
            '--config.per_class=4,8', '--config.finetune.lrs=0.05',
            '--config.finetune.wds=0.0', '--config.finetune.steps=4',
            '--config.scratch.lrs=0.05', '--config.scratch.wds=1e-5',
            '--config.scratch.steps=4', '--config.scratch.epochs=8',
            f'--workdir={tmp_path}',
        ],
    )  # fmt: skip
    out = capsys.readouterr().out
    transfers = [r for r in results.read_all(tmp_path) if r.run.setting != 'pretrain']
    steps = {(r.run.setting, r.run.per_class): r.run.hparams.steps for r in transfers}
    # 8 passes of 4 or 8 per class of 3 are 96 or 192 images, of batch 32: 3 or 6 steps,
    # but at least 4.
    assert steps == {
        ('finetune', 4): 4, ('finetune', 8): 4, ('scratch', 4): 4, ('scratch', 8): 6,
    }  # fmt: skip
    for name in ('dataset_size', 'crossings'):
        assert (tmp_path / 'tables' / f'{name}.csv').exists()
        text = (tmp_path / 'tables' / f'{name}.md').read_text()
        assert text.strip() in out
    (drawn,) = (tmp_path / 'figures').glob('dataset_size*.csv')
    with open(drawn) as file:
        drawn_rows = list(csv.DictReader(file))
    scores = {
        (r.run.setting, r.run.per_class): r.score
        for r in transfers
        if r.score is not None
    }
    assert len(drawn_rows) == len(scores) == 4
    for row in drawn_rows:
        key = row['setting'], int(row['per_class'])
        # A perfect score is drawn half an image lower, where its log odds are finite.
        assert float(row['score']) == pytest.approx(scores[key], abs=0.501 / 30)
