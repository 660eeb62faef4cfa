import numpy as np
import pandas as pd
import pytest
from sklearn import neighbors

from tests.support import made_results as made
from tests.support.fakes import ARCHITECTURE
from tests.support.pretrained import finish, pretrain
from tfxfer import config, errors, models, results
from tfxfer.cli import app, scores
from tfxfer.ranking import logme, source_labels
from tfxfer.transfer import execute, features
from tfxfer.transfer.options import ExecutionOptions
from tfxfer.transfer.task import Task


@pytest.fixture
def workdir(fakes, tmp_path):
    """Three networks that were trained for colours, their features put to use."""
    options = ExecutionOptions(tmp_path)
    for seed, score in enumerate((0.5, 0.6)):
        one = pretrain(hparams={'label_smoothing': 0.1 * seed})
        network = models.build(
            ARCHITECTURE, classes=3, options=models.NetworkOptions(seed=seed)
        )
        finish(one, tmp_path, network, score=score)
        fields = {'arch': 'tiny', 'dataset': 'colours', 'setting': 'logistic'}
        hparams = {'l2s': (0.01, 1.0, 100.0)}
        fields |= {'weights': f'run:{one.id}', 'hparams': hparams}
        execute.execute(config.from_dict(fields), options)
    return tmp_path


def logistic(workdir):
    """{score: Record} of the logistic Runs."""
    records = [r for r in results.read_all(workdir) if r.run.setting == 'logistic']
    return {record.source['score']: record for record in records}


@pytest.mark.slow
def test_a_table_and_a_shortlist_of_cached_features(
    workdir, opened, capsys, monkeypatch
):
    monkeypatch.setattr(Task, 'network', None)  # Nothing is computed twice.
    app.call(scores, [f'--workdir={workdir}', '--source_head'])
    assert set(opened) == {'train', 'valid'}
    out = capsys.readouterr().out
    table = pd.read_csv(workdir / 'scores.csv')
    assert out.splitlines()[-1] == str(workdir / 'scores.csv')
    assert 'Fine-tune ' in out and 'probability' in out
    assert len(table) == 2 and table['chance'].sum() == pytest.approx(1)
    assert (table['chance'].diff().dropna() <= 0).all()
    assert f'{table["logme"][0]:.3f}' in out and 'LEEP' in out

    app.call(scores, [f'--workdir={workdir}', '--probability=0.999'])
    assert 'LEEP' not in capsys.readouterr().out
    again = pd.read_csv(workdir / 'scores.csv')
    assert again['leep'].isna().all() and (again['logme'] == table['logme']).all()

    records = logistic(workdir)
    store = {s.metadata['weights']: s for s in features.stores(workdir / 'cache')}
    for _, row in table.iterrows():
        record = records[row['source_score']]
        assert row['score'] == record.score
        one = store[record.run.weights]
        images = one.images()
        train, valid = images['split_train'], images['split_valid']
        f, y = one.read(train)[0], images['labels'][train]
        g, v = one.read(valid)[0], images['labels'][valid]
        assert row['logme'] == pytest.approx(logme.logme(f, y, 3))
        peer = neighbors.NearestCentroid().fit(f, y)
        assert row['ncm'] == pytest.approx((peer.predict(g) == v).mean())
        best = max(
            neighbors.KNeighborsClassifier(
                k, metric='cosine', weights=lambda d: np.exp((1 - d) / 0.07)
            )
            .fit(f, y)
            .score(g, v)
            for k in (5, 10, 20)
        )
        assert row['knn'] == pytest.approx(best)
        # LEEP of the network's own predictions of the whole images.
        kernel, bias = models.source_classifier(
            ARCHITECTURE, workdir / record.run.weights.removeprefix('run:')
        )
        p = source_labels.probabilities(f, kernel, bias)
        assert row['leep'] == pytest.approx(source_labels.leep(p, y, 3))


@pytest.mark.parametrize(
    ('arguments', 'word'),
    [
        (['--workdir=nowhere'], 'No results folder'),
        (['--probability=80'], 'above 0 and below 1'),
        (['--workdir={folder}'], 'several datasets.*--dataset=digits'),
        (['--workdir={folder}', '--dataset=digits_5'], "Did you mean 'digits_5_9'"),
    ],
)
def test_bad_input_is_named(tmp_path, arguments, word):
    for dataset in ('digits_5_9', 'digits'):
        record = made.final('inception_v3', 'logistic', 0.8, dataset=dataset)
        results.write(tmp_path, record, {})
    given = [argument.format(folder=tmp_path) for argument in arguments]
    with pytest.raises(errors.InputError, match=word):
        app.call(scores, given)


def test_a_folder_without_logistic_runs_is_named(tmp_path):
    record = made.final('inception_v3', 'finetune', 0.8, dataset='digits')
    results.write(tmp_path, record, {})
    with pytest.raises(errors.InputError, match='no finished Run of the setting'):
        app.call(scores, [f'--workdir={tmp_path}'])


def test_an_error_is_one_line_and_status_2(program):
    done = program('tfxfer', 'scores', '--workdir=nowhere')
    assert done.returncode == 2 and done.stderr.count('\n') == 1
