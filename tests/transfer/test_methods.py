import dataclasses
import pathlib

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from sklearn import linear_model

from tests.golden.weights import write_checkpoint
from tests.support.fakes import ARCHITECTURE, colours
from tfxfer import architectures, config, datasets, errors, metrics, models, results
from tfxfer.analysis import cells
from tfxfer.data import pipeline, preprocess, readers
from tfxfer.data.cache_options import CacheOptions
from tfxfer.models import convert, float32, predict, slim
from tfxfer.training import step
from tfxfer.transfer import execute, features, methods, resolve
from tfxfer.transfer.options import ExecutionOptions
from tfxfer.transfer.task import Task

WEIGHTS = 'model.weights.h5'
SGD = {'steps': 30, 'batch': 16, 'lr': 0.1, 'min_area': 0.5}
RUNS = {
    'logistic': {'hparams': {'l2s': (0.01, 1.0, 100.0)}},
    'finetune': {'hparams': SGD},
    'scratch': {'hparams': SGD},
    'pretrain': {'hparams': SGD},
}


@pytest.fixture
def weights(fakes, tmp_path):
    path = tmp_path / 'start.weights.h5'
    models.save_weights(
        models.build(ARCHITECTURE, classes=3, options=models.NetworkOptions(seed=7)),
        path,
    )
    return str(path)


def made(setting, weights, phase='final', **changes):
    fields = {'arch': 'tiny', 'dataset': 'colours', 'setting': setting, 'phase': phase}
    if setting in ('logistic', 'finetune'):
        fields['weights'] = weights
    return config.from_dict({**fields, **RUNS[setting], **changes})


# Scratch and pretrain share all code of finetune but the weights.
SOME_SETTINGS = [
    pytest.param(
        name, marks=[pytest.mark.slow] if name in ('scratch', 'pretrain') else []
    )
    for name in config.HPARAMS
]


@pytest.mark.parametrize('setting', config.HPARAMS)
def test_every_setting_learns_the_colours_and_writes_a_whole_record(
    weights, tmp_path, setting
):
    record = execute.execute(made(setting, weights), ExecutionOptions(tmp_path))
    assert record.score > 0.6  # Chance is 1/3.
    assert record.images == {'train': 48, 'valid': 12, 'test': 30, 'skipped': 0}
    assert record.classes == ('red', 'green', 'blue') and record.metric == 'top1'
    folder = results.folder(tmp_path, record.run)
    assert results.read(folder) == record
    seen = results.read_predictions(folder)
    hits = seen['logits'].argmax(1) == seen['label']
    assert record.score == hits.mean()
    np.testing.assert_array_equal(seen['index'], np.arange(60, 90))
    for name in ('tfxfer', 'python', 'tensorflow', 'keras', 'device', 'threads'):
        assert record.versions[name]
    assert record.seconds['total'] > 0 and record.run.seed == 0


def test_a_damaged_record_is_kept_aside_and_made_anew(weights, tmp_path, caplog):
    options = ExecutionOptions(tmp_path)
    record = execute.execute(made('logistic', weights), options)
    path = results.folder(tmp_path, record.run) / 'record.json'
    text = path.read_text().replace('"score": ', '"score": 7', 1)
    path.write_text(text)
    again = execute.execute(made('logistic', weights), options)
    assert again.score == record.score
    assert results.read(path.parent).score == record.score
    assert (path.parent / 'record.damaged.json').read_text() == text
    assert "'score' must be" in caplog.text


@pytest.mark.parametrize('setting', SOME_SETTINGS)
def test_same_run_same_record(weights, tmp_path, setting):
    first = execute.execute(made(setting, weights), ExecutionOptions(tmp_path / 'a'))
    again = execute.execute(made(setting, weights), ExecutionOptions(tmp_path / 'b'))
    assert (first.score, first.curve, first.chosen) == (
        again.score,
        again.curve,
        again.chosen,
    )
    logits = [
        results.read_predictions(results.folder(tmp_path / name, first.run))['logits']
        for name in 'ab'
    ]
    np.testing.assert_array_equal(*logits)


@pytest.mark.parametrize('setting', SOME_SETTINGS)
def test_a_trial_cannot_open_the_test_split(weights, tmp_path, setting, opened):
    trial = made(setting, weights, phase='trial')
    record = execute.execute(trial, ExecutionOptions(tmp_path))
    assert record.score is None and 0 <= record.valid_score <= 1
    assert record.images['test'] == 0
    assert opened and 'test' not in opened
    options = ExecutionOptions(tmp_path)
    task = Task(resolve.resolve(trial, options), options)
    with pytest.raises(PermissionError, match='trial Run must not see test'):
        task.indices('test')


@pytest.mark.parametrize('setting', SOME_SETTINGS)
def test_a_final_run_opens_test_once(weights, tmp_path, setting, monkeypatch):
    opened = []
    for method in ('features', 'predictions'):
        original = getattr(Task, method)

        def watched(self, *arguments, original=original):
            opened.append(arguments[-1])
            return original(self, *arguments)

        monkeypatch.setattr(Task, method, watched)
    execute.execute(made(setting, weights), ExecutionOptions(tmp_path))
    assert opened.count('test') == 1


def test_logistic_equals_scikit_learn_on_the_networks_features(weights, tmp_path):
    record = execute.execute(made('logistic', weights), ExecutionOptions(tmp_path))
    images = colours(None, None)[1]
    model = models.build(ARCHITECTURE, classes=3, weights=weights)
    x = model(images.pixels.astype(np.float32), training=False)['features'].numpy()
    y, parts = images.labels, images.splits

    def fit(rows, l2):
        solver = linear_model.LogisticRegression(
            C=1 / l2, tol=1e-10, max_iter=10_000, solver='newton-cg'
        )
        return solver.fit(x[rows].astype(float), y[rows])

    for point in record.curve:
        score = fit(parts['train'], point['l2']).score(
            x[parts['valid']], y[parts['valid']]
        )
        assert point['valid_score'] == pytest.approx(score)
        assert point['solved']
    best = max(record.curve, key=lambda point: (point['valid_score'], point['l2']))
    assert record.chosen == {'l2': best['l2']}
    both = np.concatenate([parts['train'], parts['valid']])
    expected = fit(both, best['l2']).score(x[parts['test']], y[parts['test']])
    assert record.score == pytest.approx(expected)


def test_a_tie_goes_to_the_stronger_penalty(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(Task, 'score', lambda self, y, scores: 0.5)
    record = execute.execute(made('logistic', weights), ExecutionOptions(tmp_path))
    assert record.chosen == {'l2': 100.0}


def test_finetune_starts_from_the_weights_and_scratch_does_not(weights, tmp_path):
    still = {**SGD, 'lr': 1e-12, 'steps': 1}
    kernels = {}
    for setting in ('finetune', 'scratch'):
        record = execute.execute(
            made(setting, weights, hparams=still), ExecutionOptions(tmp_path)
        )
        folder = results.folder(tmp_path, record.run)
        path = folder / 'model.weights.h5'
        model = models.build(ARCHITECTURE, classes=3, weights=str(path))
        kernels[setting] = model.get_layer('conv').kernel.numpy()
    start = models.build(ARCHITECTURE, classes=3, weights=weights)
    start = start.get_layer('conv').kernel.numpy()
    np.testing.assert_allclose(kernels['finetune'], start, atol=1e-6)
    assert np.abs(kernels['scratch'] - start).max() > 0.01


def test_finetune_starts_with_a_new_head_though_the_classes_agree(weights, tmp_path):
    """Up to this change it kept the classifier of the weights, of 3 classes, too."""

    def head(**changes):
        still = {**SGD, 'lr': 1e-12, 'steps': 1, **changes.pop('hparams', {})}
        run = made('finetune', weights, hparams=still, **changes)
        folder = results.folder(tmp_path, execute.execute(run, options).run)
        model = models.build(ARCHITECTURE, 3, folder / WEIGHTS)
        return model.get_layer('logits').kernel.numpy()

    options = ExecutionOptions(tmp_path)
    source = models.build(ARCHITECTURE, 3, weights).get_layer('logits').kernel.numpy()
    # The source was drawn with seed 7, and a head of that seed is another.
    found = [head(seed=seed) for seed in (0, 7)]
    limit = np.sqrt(6 / (8 + 3))  # Glorot and Bengio 2010, equation 16.
    for kernel in found:
        assert 0.5 * limit < np.abs(kernel).max() <= limit
    for one, other in ((found[0], source), (found[1], source), found):
        assert np.abs(one - other).min() > 1e-4
    kept = head(hparams={'new_head': False})
    np.testing.assert_allclose(kept, source, atol=1e-6)


def test_divergence_is_a_result_with_score_zero(weights, tmp_path):
    wild = {**SGD, 'lr': 1e9}
    record = execute.execute(
        made('scratch', weights, hparams=wild), ExecutionOptions(tmp_path)
    )
    assert (record.status, record.score) == ('diverged', 0.0)
    assert record.fault['lr'] == 1e9 and 1 <= record.fault['step'] <= 30
    assert record.versions['jit_compile'] is False
    assert record.versions['jit_compile_reason'] in ('no GPU', 'too few steps')
    trial = made('scratch', weights, phase='trial', hparams=wild)
    record = execute.execute(trial, ExecutionOptions(tmp_path))
    assert (record.status, record.valid_score, record.score) == ('diverged', 0.0, None)


@pytest.mark.parametrize('precision', ['bfloat16', 'float16'])
def test_mixed_precision_trains_and_is_scored_in_float32(weights, tmp_path, precision):
    change = {'precision': precision, 'hparams': {**SGD, 'ema': 0.9}}
    record = execute.execute(
        made('scratch', weights, **change), ExecutionOptions(tmp_path)
    )
    assert record.score > 0.6  # Chance is 1/3.
    seen = results.read_predictions(results.folder(tmp_path, record.run))
    np.testing.assert_allclose(seen['logits'], in_float32(tmp_path, record), atol=1e-5)


def in_float32(workdir, record):
    """Logits of the weights that a Run kept, by Keras itself."""
    path = results.folder(workdir, record.run) / 'model.weights.h5'
    model = models.build(ARCHITECTURE, 3, path)
    _, images = colours(None, None)
    batches = pipeline.evaluation(
        images, images.splits['test'], ARCHITECTURE.input_size, preprocess.central, 30
    )
    return model(next(iter(batches))['image'], training=False)['logits']


@pytest.mark.parametrize('setting', ['logistic', 'finetune'])
def test_a_run_computes_without_tf32_and_its_record_says_so(weights, tmp_path, setting):
    tf.config.experimental.enable_tensor_float_32_execution(True)  # As it starts.
    record = execute.execute(made(setting, weights), ExecutionOptions(tmp_path))
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
    assert record.versions['tf32'] is False


def test_a_network_trained_in_tf32_is_scored_in_float32(weights, tmp_path, monkeypatch):
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    seen = {'training': set(), 'scoring': set()}
    advance, scored = step.TrainStep._advance, predict.predict

    def trained(self, *batch):
        seen['training'].add(enabled())
        return advance(self, *batch)

    def predicted(*arguments):
        seen['scoring'].add(enabled())
        return scored(*arguments)

    # As on a GPU that has it; a CPU computes in float32 all the same.
    monkeypatch.setattr(float32, '_available', lambda: True)
    monkeypatch.setattr(step.TrainStep, '_advance', trained)
    monkeypatch.setattr(predict, 'predict', predicted)
    tuned = made('finetune', weights, precision='tf32')
    record = execute.execute(tuned, ExecutionOptions(tmp_path))
    assert seen == {'training': {True}, 'scoring': {False}}
    assert record.versions['tf32'] is True
    plain = execute.execute(made('finetune', weights), ExecutionOptions(tmp_path))
    assert plain.score == record.score and plain.run.id != record.run.id


def test_tf32_on_a_machine_that_lacks_it_is_one_line(weights, tmp_path):
    for setting in ('logistic', 'finetune'):
        with pytest.raises(errors.InputError, match='Use precision=float32'):
            execute.execute(
                made(setting, weights, precision='tf32'), ExecutionOptions(tmp_path)
            )


def test_an_option_that_the_network_lacks_is_refused_before_training(weights, tmp_path):
    asked = made('scratch', weights, hparams={**SGD, 'aux': 0.4})
    with pytest.raises(errors.InputError, match='tiny has no auxiliary classifier'):
        execute.execute(asked, ExecutionOptions(tmp_path))
    assert not results.folder(tmp_path, asked).exists()


def test_dropout_acts_in_training_alone(weights, tmp_path):
    found = {}
    for dropout in (0.0, 0.5):
        asked = made('scratch', weights, hparams={**SGD, 'dropout': dropout})
        record = execute.execute(asked, ExecutionOptions(tmp_path))
        folder = results.folder(tmp_path, record.run)
        found[dropout] = results.read_predictions(folder)['logits']
        expected = in_float32(tmp_path, record)
        np.testing.assert_allclose(found[dropout], expected, atol=1e-5)
    assert np.abs(found[0.0] - found[0.5]).max() > 0.01


def test_weights_of_a_pretrain_run_bring_their_source(weights, tmp_path):
    source = execute.execute(made('pretrain', weights), ExecutionOptions(tmp_path))
    for name in (f'run:{source.run.id}', str(results.folder(tmp_path, source.run))):
        record = execute.execute(made('logistic', name), ExecutionOptions(tmp_path))
        assert record.source == {
            'dataset': 'colours',
            'score': source.score,
            'images': 30,
        }


def test_weights_in_a_file_bring_the_source_that_the_file_says(weights, tmp_path):
    options = ExecutionOptions(tmp_path)

    def source(path):
        run = made('logistic', str(path))
        return resolve.find_weights(run, ARCHITECTURE, options).source

    assert source(weights) is None  # Of no Run and no public checkpoint.
    pretrained = execute.execute(made('pretrain', weights), options)
    file = results.folder(tmp_path, pretrained.run) / WEIGHTS
    known = {'dataset': 'colours', 'score': pretrained.score, 'images': 30}
    copy = tmp_path / 'copy.weights.h5'
    copy.write_bytes(file.read_bytes())
    assert source(file) == source(copy) == known
    record = execute.execute(made('logistic', weights), options)
    assert record.source is None
    (cell,) = cells.cells([record])
    assert (cell.origin, cell.source) == ('unknown', None)


def test_a_public_checkpoint_is_known_by_its_digest(shared, tmp_path):
    arch = architectures.ARCHITECTURES['mobilenet_v1']
    stem = f'{arch.checkpoint}.ckpt'
    genuine = shared / 'checkpoints' / arch.checkpoint / stem
    values = slim.read_tensors(str(genuine))
    name = 'MobilenetV1/Logits/Conv2d_1c_1x1/biases'
    values[name] = values[name] + 1e-3
    changed = write_checkpoint(tmp_path / stem, values)
    converted = tmp_path / 'converted.weights.h5'
    convert.convert(arch, str(genuine), str(converted))
    fields = {'arch': arch.name, 'dataset': 'd', 'setting': 'logistic'}
    found = []
    for path in (genuine, converted, changed):
        run = config.from_dict({**fields, 'weights': str(path)})
        found.append(resolve.find_weights(run, arch, ExecutionOptions(tmp_path)).source)
    public = {'dataset': 'imagenet2012', 'score': arch.imagenet_top1, 'images': None}
    assert found == [public, public, None]


def test_weights_that_their_run_did_not_write_are_refused(weights, tmp_path):
    options = ExecutionOptions(tmp_path)
    source = execute.execute(made('pretrain', weights), options)
    file = results.folder(tmp_path, source.run) / WEIGHTS
    other = made('logistic', f'run:{source.run.id}')
    file.write_bytes(pathlib.Path(weights).read_bytes())  # Sound, but another's.
    with pytest.raises(errors.InputError, match='not the file that .* wrote'):
        resolve.resolve(other, options)


def test_per_class_trains_on_that_many(weights, tmp_path):
    record = execute.execute(
        made('logistic', weights, per_class=5), ExecutionOptions(tmp_path)
    )
    assert record.images == {'train': 12, 'valid': 3, 'test': 30, 'skipped': 0}


def test_a_run_that_is_done_is_not_done_again(weights, tmp_path, monkeypatch):
    first = execute.execute(made('logistic', weights), ExecutionOptions(tmp_path))
    monkeypatch.setattr(methods, 'METHODS', {})
    assert (
        execute.execute(made('logistic', weights), ExecutionOptions(tmp_path)) == first
    )


def test_every_setting_has_its_hyperparameters():
    assert methods.METHODS.keys() == config.HPARAMS.keys()


def test_every_dataset_has_a_metric_and_a_source():
    for record in datasets.DATASETS.values():
        assert record.metric in metrics.METRICS
        assert record.source in readers.SOURCES


def test_the_images_of_each_split_are_stored_with_the_result(weights, tmp_path):
    record = execute.execute(made('logistic', weights), ExecutionOptions(tmp_path))
    images = colours(None, None)[1]
    with np.load(tmp_path / 'splits' / f'{record.splits}.npz') as stored:
        for name in ('train', 'valid', 'test'):
            np.testing.assert_array_equal(stored[name], images.splits[name])


def test_the_chosen_metric_is_the_one_that_scores(weights, tmp_path):
    record = execute.execute(
        made('logistic', weights, metric='mean_per_class'), ExecutionOptions(tmp_path)
    )
    seen = results.read_predictions(results.folder(tmp_path, record.run))
    hits = seen['logits'].argmax(1) == seen['label']
    each = [hits[seen['label'] == c].mean() for c in range(3)]
    assert record.metric == 'mean_per_class'
    assert record.score == pytest.approx(np.mean(each), rel=1e-12)


@pytest.mark.parametrize(
    'form', ['encoded', pytest.param('decoded', marks=pytest.mark.slow)]
)
def test_kept_images_train_the_same_network(weights, tmp_path, photographs, form):
    dataset = f'folder:{photographs()}'
    asked = made('finetune', weights, dataset=dataset)
    plain = execute.execute(asked, ExecutionOptions(tmp_path / 'plain'))
    options = CacheOptions(form, 'disk')
    kept = execute.execute(
        asked, ExecutionOptions(tmp_path / 'kept', image_cache=options)
    )
    assert list((tmp_path / 'kept' / 'cache' / 'images').glob('*/data'))
    logits = [
        results.read_predictions(results.folder(place, record.run))['logits']
        for place, record in ((tmp_path / 'plain', plain), (tmp_path / 'kept', kept))
    ]
    np.testing.assert_array_equal(*logits)


def test_features_of_a_study_are_extracted_once(weights, tmp_path):
    """Every l2, phase and subset size reads the same rows."""
    for per_class in (5, 10, None):
        execute.execute(
            made('logistic', weights, per_class=per_class), ExecutionOptions(tmp_path)
        )
    execute.execute(made('logistic', weights, 'trial'), ExecutionOptions(tmp_path))
    (store,) = features.stores(tmp_path / 'cache')
    assert store.done.all()


def test_a_csv_is_a_task_like_the_folder_it_lists(weights, tmp_path, photographs):
    root = photographs()
    rows = [f'{p.relative_to(tmp_path)},{p.parent.name}' for p in root.rglob('*.png')]
    (tmp_path / 'list.csv').write_text('\n'.join(['path,label', *sorted(rows)]))
    record = execute.execute(
        made('logistic', weights, dataset=f'csv:{tmp_path / "list.csv"}'),
        ExecutionOptions(tmp_path),
    )
    assert record.classes == ('blue', 'green', 'red') and record.score > 0.6
    assert sum(record.images[name] for name in ('train', 'valid', 'test')) == 30


def test_a_class_that_cannot_be_scored_is_named_before_training(
    weights, tmp_path, photographs
):
    root = photographs()
    for path in sorted((root / 'red').iterdir())[2:]:
        path.unlink()  # Two are left: one to test, one to train.
    asked = made('finetune', weights, dataset=f'folder:{root}')
    with pytest.raises(errors.InputError, match='no valid image of red.*mean_per_cl'):
        resolve.resolve(
            dataclasses.replace(asked, metric='mean_per_class'),
            ExecutionOptions(tmp_path),
        )
    assert resolve.resolve(asked, ExecutionOptions(tmp_path)).dataset.metric == 'top1'


@pytest.mark.slow
def test_fine_tuning_real_weights_beats_scratch_and_logistic(shared, tmp_path):
    """MobileNet v1 of ImageNet, 64 pixels, 200 real digits, as many steps for both."""
    sgd = {'steps': 60, 'batch': 32, 'flip': False, 'min_area': 0.6}
    runs = {
        'logistic': ('logistic', 'slim', {}),
        'finetune': ('finetune', 'slim', {**sgd, 'lr': 0.01}),
        'scratch at 0.1': ('scratch', '', {**sgd, 'lr': 0.1}),
        'scratch at 0.03': ('scratch', '', {**sgd, 'lr': 0.03}),
    }
    right, scores = {}, {}
    for name, (setting, weights, hparams) in runs.items():
        asked = config.from_dict(
            {
                'arch': 'mobilenet_v1', 'dataset': 'digits', 'image_size': 64,
                'per_class': 20, 'setting': setting, 'weights': weights,
                'hparams': hparams,
            }
        )  # fmt: skip
        record = execute.execute(
            asked, ExecutionOptions(tmp_path, checkpoints=shared / 'checkpoints')
        )
        seen = results.read_predictions(results.folder(tmp_path, record.run))
        right[name] = seen['logits'].argmax(axis=1) == seen['label']
        scores[name] = record.score
    best = right.pop('finetune')
    for name, other in right.items():
        assert scores['finetune'] > scores[name] + 0.04, scores
        won, lost = (best & ~other).sum(), (other & ~best).sum()
        p = scipy.stats.binomtest(int(won), int(won + lost), alternative='greater')
        assert p.pvalue < 1e-4, (name, won, lost)


@pytest.mark.slow
def test_scale_is_a_switch_of_pretraining_and_goes_with_the_weights(fakes, tmp_path):
    for scale in (True, False):
        hparams = {**SGD, 'scale': scale}
        made_ = {'arch': 'tiny', 'dataset': 'colours', 'setting': 'pretrain'}
        first = execute.execute(
            config.from_dict({**made_, 'hparams': hparams}), ExecutionOptions(tmp_path)
        )
        model = models.build(ARCHITECTURE, 3, tmp_path / first.run.id / WEIGHTS)
        assert any(v.name == 'gamma' for v in model.weights) == scale
        # Mixed precision is scored by a network of its own, of the same kind.
        tuned = made('finetune', f'run:{first.run.id}', precision='bfloat16')
        assert execute.execute(tuned, ExecutionOptions(tmp_path)).score > 0.6


def test_a_network_without_the_choice_of_scale_says_so_first(tmp_path):
    fields = {'arch': 'mobilenet_v1_0.25', 'dataset': 'digits', 'setting': 'pretrain'}
    asked = config.from_dict({**fields, 'hparams': {**SGD, 'scale': False}})
    with pytest.raises(errors.InputError, match='hparams.scale must be true'):
        execute.execute(asked, ExecutionOptions(tmp_path))
