import itertools
import math
import re

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats import multitest

from tests.support import made_results as made
from tfxfer import number_format, results
from tfxfer.analysis import cells, verdicts
from tfxfer.report import text as words

DATASETS = (
    'food101', 'cifar10', 'cifar100', 'birdsnap', 'sun397', 'cars', 'aircraft',
    'voc2007', 'dtd', 'pets', 'caltech101', 'flowers',
)  # fmt: skip


def answer(folder):
    found = cells.cells(cells.read(folder))
    judged, _ = verdicts.verdicts(found, folder)
    return words.write(verdicts.with_intervals(found, judged), judged)


def records(scores, *, settings=('logistic', 'finetune'), **fields):
    """Records of scores[setting][network][dataset], all on 1,000 test images.

    Network i had 700 + 10 i of 1,000 source images right.
    """
    made_up = []
    for setting, table in zip(settings, scores, strict=True):
        for i, row in enumerate(table):
            source = {'dataset': 'imagenet2012', 'score': 0.7 + i / 100, 'images': 1000}
            for dataset, score in zip(DATASETS, row, strict=False):
                of = made.run(
                    f'net_{i:02d}', setting, dataset=dataset, weights='slim', **fields
                )
                made_up.append(made.record(of, score, n=1000, source=source))
    return made_up


def written(*args, **options):
    return words.write(cells.cells(records(*args, **options)), [])


def write(folder, counts, setting, n=100):
    """Cells of made.NETWORKS: right of n, a tuple of a number per seed each."""
    for arch, seeds in zip(made.NETWORKS, counts, strict=False):
        for seed, right in enumerate(seeds):
            made.write_cell(folder, arch, setting, right, seed=seed, n=n)


def test_a_task_says_what_is_not_told_apart_what_it_costs_and_what_is_next(tmp_path):
    made.write_sources(tmp_path)
    write(tmp_path, [(80,), (86,), (90,)], 'logistic')
    write(tmp_path, [(85, 86, 85), (94, 95, 94), (92, 93, 92)], 'finetune')
    write(tmp_path, [(60, 61, 60), (62, 63, 62), (58, 59, 58)], 'scratch')
    first, second = answer(tmp_path).first
    for part in (
        'On digits_5_9, the best is one of 3 that are not told apart: '
        'mobilenet_v1_0.5, finetune (94.3 %); mobilenet_v2_0.35, finetune (92.3 %); '
        'mobilenet_v2_0.35, logistic (90.0 %). ',
        'mobilenet_v1_0.5, finetune has the highest score of 9; corrected for having '
        'been picked for that, its 95 % interval is ',
        ' % (100 test images, 3 seeds). ',
        'Logistic regression takes 2.6 % of the time and scores 8.3 percentage points '
        'lower (significant, p = 0.0',
        'training from scratch takes about as long and scores 32.0 percentage points '
        'lower (significant, p = ',
        'The next network is mobilenet_v2_0.35 fine-tuned with 92.3 %; the difference '
        'of 2.0 percentage points is not significant (p = 0.',
        ', corrected for all 36 pairs). ',
        'The quickest of those not told apart, mobilenet_v2_0.35, logistic, took '
        '1.0 s, mobilenet_v1_0.5, finetune 39 s.',
    ):
        assert part in first
    assert '3 networks are too few' in second and 'digits_0_4' in second


def test_with_one_seed_the_first_sentence_says_what_is_not_covered(tmp_path):
    noise, task, _ = answer(made.write_study(tmp_path)).first
    assert noise == (
        'Training noise is not covered: some results are of one seed, so no '
        'difference from such a result is called significant. Run more seeds '
        '(--config.seeds=0,1,2).'
    )
    assert 'mobilenet_v1_0.5 fine-tuned has the highest score: 94.0 %' in task
    assert 'p =' not in task and '(significant' not in task


def test_fixed_features_have_no_training_noise(tmp_path):
    write(tmp_path, [(80,), (86,)], 'logistic')
    assert 'seed' not in answer(tmp_path).first[0]


def test_what_beats_all_others_is_best(tmp_path):
    write(tmp_path, [(90, 90, 91), (60, 61, 60)], 'scratch')
    (first,) = answer(tmp_path).first[:1]
    assert first.startswith(
        'On digits_5_9, mobilenet_v1_0.25 trained from scratch is best: 90.3 %, '
        'significantly better than each of the others. '
    )
    assert 'the highest score of 2; corrected for having been picked' in first


@pytest.mark.parametrize('name', ['folder:/home/me/roses', 'csv:/home/me/roses'])
def test_a_users_own_images_are_called_theirs(name):
    run = made.run('net', 'scratch', dataset=name, dataset_digest='a' * 64)
    found = cells.cells([made.record(run, 0.9)])
    noise, task = words.write(found, []).first[:2]
    assert noise.startswith('Training noise is not covered: the network was trained')
    assert task.startswith('On your images (roses), only ')


def test_a_clear_difference_is_called_significant(tmp_path):
    write(tmp_path, [(90,), (70,)], 'logistic')
    text = answer(tmp_path).first[0]
    # 20 images right alone: z = 20 / sqrt(21).
    assert re.search(
        r'difference of 20.0 percentage points is significant \(p = \de-0[56]\)', text
    )
    assert 'not told apart' not in text


def test_one_cell_is_an_answer_too(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'logistic', 90)
    assert answer(tmp_path).first[0] == (
        'On digits_5_9, only mobilenet_v1_0.25 with logistic regression on its '
        'features was measured: 90.0 % (95 % interval 82.6-94.5, 100 test images).'
    )


def test_a_score_that_is_no_proportion_has_no_interval_and_says_what_it_is():
    run = made.run('net', 'scratch', dataset='pets')
    found = cells.cells([made.record(run, 0.9, metric='mean_per_class')])
    assert (
        words.write(found, [])
        .first[1]
        .endswith('measured: 90.0 % mean-per-class accuracy (100 test images).')
    )


def test_diverged_and_unfinished_studies_are_answered(tmp_path):
    made.write_sources(tmp_path)
    assert answer(tmp_path).first == ('No Run has scored test images yet.',)
    run = made.run(made.NETWORKS[0], 'scratch')
    results.write(tmp_path, made.record(run, 0.0, status='diverged'), {})
    assert answer(tmp_path).first[0] == (
        'On digits_5_9, every Run diverged; try smaller learning rates.'
    )


def test_few_datasets_are_answered_one_by_one_and_then_together():
    # Log odds of 0.9 and 0.8: ln 9, ln 4; their mean ln 6 is that of 6/7 = 85.7 %.
    # Differences ln(9/4) / 2 and 0 about it: t = 1 with 1 degree of freedom, p = 1/2.
    found = written([[(0.9, 0.8), (0.8, 0.8)]], settings=('finetune',))
    assert found.first[0].startswith('Training noise is not covered: every result is')
    assert [text.split(',')[0] for text in found.first[1:3]] == [
        'On cifar10', 'On food101',
    ]  # fmt: skip
    assert found.first[3].startswith('Over 2 datasets, the highest mean log odds')
    assert (
        'finetune net_00 (85.7 %; next net_01, 80.0 %, paired t-test over datasets, '
        'corrected for all pairs: p = 0.5)'
    ) in found.first[3]
    assert len(found.first) == 5 and found.tasks == ()


def study(networks=16, datasets=12, losses=13):
    """Logistic and finetune scores; finetune is worse in `losses` of the pairs."""
    rng = np.random.default_rng(0)
    logistic = 0.6 + 0.015 * np.arange(networks)[:, None]
    logistic = logistic + rng.uniform(-0.05, 0.05, (networks, datasets))
    sign = np.ones(networks * datasets)
    sign[:losses] = -1
    finetune = logistic + 0.02 * sign.reshape(networks, datasets)
    return logistic.round(3), finetune.round(3)


def test_many_datasets_are_first_answered_together():
    scores = study()
    found = written(scores)
    noise, first = found.first
    assert noise.startswith('Training noise is not covered: some results are')
    assert len(found.tasks) == 12 and found.tasks[0].startswith('On aircraft, ')
    # The mean of logits, the best two networks and their t-test, by SciPy.
    for setting, table in zip(('logistic', 'finetune'), scores, strict=True):
        odds = np.log(table / (1 - table))
        means = odds.mean(axis=1)
        top, second = np.argsort(-means)[:2]
        pairs = list(itertools.combinations(range(16), 2))
        alone = [scipy_stats.ttest_rel(odds[a], odds[b]).pvalue for a, b in pairs]
        holm = multitest.multipletests(alone, method='holm')[1]
        p = holm[pairs.index((min(top, second), max(top, second)))]
        percents = [100 / (1 + math.exp(-means[k])) for k in (top, second)]
        assert (
            f'{setting} net_{top:02d} ({percents[0]:.1f} %; next '
            f'net_{second:02d}, {percents[1]:.1f} %, paired t-test over datasets, '
            f'corrected for all pairs: p = {number_format.p_value(p)})'
        ) in first
        source = np.log((0.7 + np.arange(16) / 100) / (0.3 - np.arange(16) / 100))
        r = scipy_stats.pearsonr(source, means)
        low, high = r.confidence_interval()
        assert f'{setting} r = {r.statistic:.2f} ({low:.2f} to {high:.2f}, 16 ' in first
    odds = [np.log(table / (1 - table)).mean(axis=0) for table in scores]
    p = number_format.p_value(scipy_stats.ttest_rel(*odds).pvalue)
    assert (
        'Fine-tuning is better than logistic regression in 179 of 192 pairs of network '
        f'and dataset (paired t-test over 12 datasets: p = {p}). How well accuracy on '
        'imagenet2012 predicts transfer: '
    ) in first


def test_the_setting_that_wins_more_often_is_named_first():
    logistic, finetune = study(networks=2, datasets=4, losses=0)
    (first,) = [t for t in written([finetune, logistic]).first if 'better than' in t]
    assert (
        'Logistic regression is better than fine-tuning in 8 of 8 pairs of network '
        'and dataset (paired t-test over 4 datasets: p = '
    ) in first


def test_from_four_datasets_on_the_order_turns():
    for datasets, expected in ((3, 0), (4, 4)):
        found = written(study(networks=5, datasets=datasets, losses=1))
        assert len(found.tasks) == expected


def test_many_tasks_of_one_network_are_all_said_first():
    # Nothing is common to them but that one network is too few.
    few = [made.record(made.run('net', 'scratch', per_class=k), 0.5) for k in (1, 2, 4)]
    assert len(words.write(cells.cells(few), []).first) == 1 + 3


def test_conditions_are_told_apart():
    scores = study(networks=4, datasets=2, losses=0)
    both = [*records(scores), *records(scores, per_class=20)]
    texts = words.write(cells.cells(both), []).first
    assert sum(text.startswith('Over 2 datasets') for text in texts) == 1
    assert (
        sum(text.startswith('With 20 images per class: Over 2') for text in texts) == 1
    )


def test_a_tie_of_all_networks_has_no_test_and_no_correlation():
    found = written([np.full((4, 4), 0.5)], settings=('logistic',))
    (over,) = found.first
    assert over.endswith('logistic net_00 (50.0 %; next net_01, 50.0 %).')


def test_recipes_are_not_mixed_in_a_test():
    some = records([study(networks=2, datasets=2, losses=0)[0]], settings=('finetune',))
    more = [
        made.record(
            made.run(
                r.run.arch, 'finetune', dataset=r.run.dataset, weights='slim',
                hparams={'steps': 99},
            ),
            0.5,
            n=1000,
            source=r.source,
        )
        for r in some
    ]  # fmt: skip
    texts = words.write(cells.cells([*some, *more]), []).first
    (over,) = [text for text in texts if text.startswith('Over')]
    assert 'paired t-test' not in over


def test_a_p_below_the_least_double_is_no_0(tmp_path):
    write(tmp_path, [(1200,), (0,)], 'logistic', n=1200)
    assert 'p < 1e-300' in answer(tmp_path).first[0]


def test_every_paragraph_is_a_sentence_of_whole_words(tmp_path):
    made.write_study(tmp_path)
    some = [answer(tmp_path), written(study())]
    texts = itertools.chain.from_iterable((*a.first, *a.tasks) for a in some)
    for text in texts:
        assert not text[0].islower() and text.endswith('.')
        assert 'None' not in text and 'nan' not in text and '  ' not in text
