import hashlib

import numpy as np
import pytest

from tfxfer.data import splits

LABELS = np.repeat([0, 1, 2], [50, 10, 2])


def test_a_fifth_of_each_class_is_held_out():
    kept, held = splits.hold_out(LABELS)
    assert np.bincount(LABELS[held]).tolist() == [10, 2, 1]
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(62))


def test_a_class_of_one_image_stays_in_train():
    kept, held = splits.hold_out(np.array([0, 0, 1]))
    assert 2 in kept and len(held) == 1


def test_the_draw_is_fixed_for_all_time():
    ranks = [hashlib.sha256(f'0/{i}'.encode()).hexdigest() for i in range(10)]
    expected = sorted(range(10), key=ranks.__getitem__)[:2]
    _, held = splits.hold_out(np.zeros(10, int))
    assert held.tolist() == sorted(expected)


def test_another_seed_draws_others():
    assert (
        splits.hold_out(LABELS, seed=1)[1].tolist()
        != splits.hold_out(LABELS)[1].tolist()
    )


def test_named_images_keep_their_split_when_others_are_left_out():
    names = [f'{i}.jpg' for i in range(40)]
    labels = np.zeros(40, int)
    order = splits.order(labels, 0, names)[0]
    without = splits.order(labels[1:], 0, names[1:])[0] + 1
    assert [i for i in order if i != 0] == without.tolist()


@pytest.mark.parametrize('small, large', [(2, 3), (3, 5), (5, 8), (8, 20)])
def test_a_smaller_subset_is_part_of_a_larger_one(small, large):
    kept, held = splits.hold_out(LABELS)
    parts = {'train': kept, 'valid': held, 'test': np.array([99])}
    few, more = (splits.few(LABELS, parts, n) for n in (small, large))
    assert set(few['train']) <= set(more['train']) <= set(kept)
    assert set(few['valid']) <= set(more['valid']) <= set(held)
    assert few['test'].tolist() == [99]


def test_per_class_counts_train_and_valid_together():
    kept, held = splits.hold_out(LABELS)
    few = splits.few(LABELS, {'train': kept, 'valid': held}, 10)
    both = np.concatenate([few['train'], few['valid']])
    assert np.bincount(LABELS[both]).tolist() == [10, 10, 2]
    assert np.bincount(LABELS[few['valid']]).tolist() == [2, 2, 1]


@pytest.mark.parametrize('train, valid', [(10, 10), (40, 40), (12, 3), (3, 12)])
def test_a_part_that_is_short_is_filled_up_from_the_other(train, valid):
    """Official splits halve flowers, dtd and aircraft: 10, 40 and 33 each."""
    labels = np.tile(np.arange(3), train + valid)
    parts = {
        'train': np.arange(3 * train),
        'valid': np.arange(3 * train, 3 * (train + valid)),
    }
    before = {'train': set(), 'valid': set()}
    for per_class in range(2, train + valid + 3):
        few = splits.few(labels, parts, per_class, seed=7)
        assert set(few['train']) <= set(parts['train'])  # Official parts stay apart.
        assert set(few['valid']) <= set(parts['valid'])
        assert all(before[name] <= set(few[name]) for name in before)  # Nested.
        before = {name: set(few[name]) for name in before}
        both = np.concatenate([few['train'], few['valid']])
        used = min(per_class, train + valid)
        assert np.bincount(labels[both]).tolist() == [used] * 3
        assert len(few['train']) and len(few['valid'])


def test_a_class_of_one_part_alone_is_cut_too():
    labels = np.repeat([0, 1, 2], 10)
    parts = {'train': np.arange(15), 'valid': np.arange(15, 30)}  # Class 1 is in both.
    few = splits.few(labels, parts, 6)
    assert np.bincount(labels[few['train']], minlength=3).tolist() == [6, 5, 0]
    assert np.bincount(labels[few['valid']], minlength=3).tolist() == [0, 1, 6]


def test_one_image_a_class_is_refused():
    with pytest.raises(ValueError, match='at least 2'):
        splits.few(LABELS, {'train': np.arange(62), 'valid': np.arange(0)}, 1)


@pytest.mark.parametrize('counts', [[50, 10, 2], [7] * 30, [24, 68, 41, 33], [1, 9]])
def test_a_fifth_of_all_images_is_held_out_rounded_down(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    _, held = splits.hold_out(labels)
    per_class = np.bincount(labels[held], minlength=len(counts))
    quotas = np.array(counts) / 5
    least = np.minimum(np.maximum(np.floor(quotas), 1), np.array(counts) - 1)
    assert (per_class >= least).all()
    assert (per_class <= np.maximum(np.ceil(quotas), least)).all()
    assert len(held) == max(sum(counts) // 5, least.sum())


def test_the_largest_remainders_get_one_more():
    # Quotas 2.8, 2.2, 2.0: seven of 35 in all, so one class gets a third.
    labels = np.repeat([0, 1, 2], [14, 11, 10])
    _, held = splits.hold_out(labels)
    assert np.bincount(labels[held]).tolist() == [3, 2, 2]


def test_a_share_is_stratified_nested_and_has_each_class():
    labels = np.repeat([0, 1, 2], [80, 16, 3])
    kept, held = splits.hold_out(labels)
    whole = {'train': kept, 'valid': held}
    before = {name: set() for name in whole}
    for share in (1 / 8, 1 / 4, 1 / 2):
        found = splits.part(labels, whole, share)
        for name, indices in found.items():
            assert before[name] <= set(indices) <= set(whole[name])
            assert set(labels[indices]) == {0, 1, 2}
            before[name] = set(indices)
    # Of 64, 13 and 2 training images the half.
    assert np.bincount(labels[found['train']]).tolist() == [32, 6, 1]


def test_a_share_of_named_images_stays_when_others_come():
    names = [f'{i}.png' for i in range(40)]
    labels = np.zeros(40, int)
    few = splits.part(labels[:30], {'test': np.arange(30)}, 0.5, names[:30])['test']
    more = splits.part(labels, {'test': np.arange(40)}, 0.5, names)['test']
    order = splits.order(labels, 0, names)[0]
    assert set(more) == set(order[:20])
    assert set(few) == set([i for i in order if i < 30][:15])
