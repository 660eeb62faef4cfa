import itertools
import math
import re

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tests.support import made_results as made
from tfxfer import results
from tfxfer.analysis import cells, paired_tests
from tfxfer.report import text as words

DATASETS = (
    'food101', 'cifar10', 'cifar100', 'birdsnap', 'sun397', 'cars', 'aircraft',
    'voc2007', 'dtd', 'pets', 'caltech101', 'flowers',
)  # fmt: skip


def answer(folder):
    found = cells.cells(cells.read(folder))
    paired, _ = paired_tests.compare(found, folder)
    return words.write(found, paired)


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


def test_a_task_is_said_in_four_sentences(tmp_path):
    first, second = answer(made.write_study(tmp_path)).first
    best, others, following, close = re.split(r'(?<=[.)])\. |\. (?=[A-Z])', first)
    for part in (
        'On digits_5_9, mobilenet_v1_0.5 fine-tuned is best: 94.0 %',
        '95 % interval 87.5-97.2, 100 test images',
    ):
        assert part in best
    # 8 and 32 images right alone: 2 / 2^8 x 3 and 2 / 2^32 x 6 after Holm.
    for part in (
        'takes 1/13 of the time and scores 8.0 percentage points lower (p = 0.023)',
        'takes about as long and scores 32.0 percentage points lower (p = 3e-09)',
    ):
        assert part in others
    for part in (
        'mobilenet_v2_0.35 fine-tuned with 92.0 %',
        '2.0 percentage points is not significant',
        'exact McNemar p = 0.5, corrected for 8 comparisons',
    ):
        assert part in following
    for part in (
        'mobilenet_v2_0.35, finetune; mobilenet_v2_0.35, logistic; ',
        'quickest of these, mobilenet_v2_0.35, logistic, took 1.0 s, the best 13 s',
    ):
        assert part in close
    assert '3 networks are too few' in second and 'digits_0_4' in second


@pytest.mark.parametrize('name', ['folder:/home/me/roses', 'csv:/home/me/roses'])
def test_a_users_own_images_are_called_theirs(name):
    run = made.run('net', 'scratch', dataset=name, dataset_digest='a' * 64)
    found = cells.cells([made.record(run, 0.9)])
    assert words.write(found, []).first[0].startswith('On your images (roses), only ')


def test_a_clear_difference_is_called_significant(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 90)
    made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 70)
    text = answer(tmp_path).first[0]
    # 20 images right alone: 2 / 2^20.
    assert (
        'difference of 20.0 percentage points is significant (exact McNemar p = 2e-06)'
        in text
    )
    assert 'Not significantly different' not in text


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
        .first[0]
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
    assert [text.split(',')[0] for text in found.first[:2]] == [
        'On cifar10', 'On food101',
    ]  # fmt: skip
    assert found.first[2].startswith('Over 2 datasets, the highest mean log odds')
    assert (
        'finetune net_00 (85.7 %; next net_01, 80.0 %, paired t-test over datasets '
        'p = 0.5)'
    ) in found.first[2]
    assert len(found.first) == 4 and found.tasks == ()


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
    (first,) = found.first
    assert len(found.tasks) == 12 and found.tasks[0].startswith('On aircraft, ')
    # The mean of logits, the best two networks and their t-test, by SciPy.
    for setting, table in zip(('logistic', 'finetune'), scores, strict=True):
        odds = np.log(table / (1 - table))
        means = odds.mean(axis=1)
        top, second = np.argsort(-means)[:2]
        p = scipy_stats.ttest_rel(odds[top], odds[second]).pvalue
        percents = [100 / (1 + math.exp(-means[k])) for k in (top, second)]
        assert (
            f'{setting} net_{top:02d} ({percents[0]:.1f} %; next '
            f'net_{second:02d}, {percents[1]:.1f} %, paired t-test over datasets '
            f'p = {p:.2g})'
        ) in first
        source = np.log((0.7 + np.arange(16) / 100) / (0.3 - np.arange(16) / 100))
        r = scipy_stats.pearsonr(source, means)
        low, high = r.confidence_interval()
        assert f'{setting} r = {r.statistic:.2f} ({low:.2f} to {high:.2f}, 16 ' in first
    p = scipy_stats.binomtest(179, 192).pvalue
    assert (
        p < 1e-30
        and (
            'Fine-tuning beats logistic regression in 179 of 192 pairs of network and '
            f'dataset (sign test p = {p:.0e}). How well accuracy on imagenet2012 '
            'predicts transfer: '
        )
        in first
    )


def test_the_setting_that_wins_more_often_is_named_first():
    logistic, finetune = study(networks=2, datasets=4, losses=0)
    (first,) = written([finetune, logistic]).first[:1]
    p = 2 / 2**8
    assert (
        'Logistic regression beats fine-tuning in 8 of 8 pairs of network and dataset '
        f'(sign test p = {p:.2g})'
    ) in first


def test_from_four_datasets_on_the_order_turns():
    for datasets, expected in ((3, 0), (4, 4)):
        found = written(study(networks=5, datasets=datasets, losses=1))
        assert len(found.tasks) == expected


def test_many_tasks_of_one_network_are_all_said_first():
    # Nothing is common to them but that one network is too few.
    few = [made.record(made.run('net', 'scratch', per_class=k), 0.5) for k in (1, 2, 4)]
    assert len(words.write(cells.cells(few), []).first) == 3


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
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 1200, n=1200)
    made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 0, n=1200)
    assert 'exact McNemar p < 1e-300' in answer(tmp_path).first[0]


def test_every_paragraph_is_a_sentence_of_whole_words(tmp_path):
    made.write_study(tmp_path)
    some = [answer(tmp_path), written(study())]
    texts = itertools.chain.from_iterable((*a.first, *a.tasks) for a in some)
    for text in texts:
        assert not text[0].islower() and text.endswith('.')
        assert 'None' not in text and 'nan' not in text and '  ' not in text
