"""The protocol's numbers."""

import numpy as np
import pytest

from tfxfer import config, errors, hyperparameters


def test_protocol_numbers_of_the_logistic_grid():
    l2s = config.Logistic().l2s
    np.testing.assert_allclose(l2s, np.logspace(-6, 5, 45), rtol=1e-12)


def test_protocol_numbers_of_the_training_grids():
    finetune, scratch = config.GRIDS['finetune'], config.GRIDS['scratch']
    np.testing.assert_allclose(finetune['lrs'], np.logspace(-4, -1, 7))
    np.testing.assert_allclose(finetune['wds'], [0, *np.logspace(-6, -3, 7)])
    np.testing.assert_allclose(scratch['lrs'], np.logspace(-3, 0, 7))
    np.testing.assert_allclose(scratch['wds'], np.logspace(-5, -1.5, 8))
    assert (config.Finetune().steps, config.Finetune().batch) == (20_000, 256)
    assert config.Scratch().steps == 40_000


def test_the_rate_is_linear_in_the_batch():
    # The protocol's 1.6 at a batch of 4,096.
    hparams = config.Pretrain(batch=256, lr_batch=4096)
    assert hparams.rate == pytest.approx(0.1)
    assert config.Pretrain().rate == 1.6
    with pytest.raises(errors.InputError, match='lr_batch must not be negative'):
        config.hparams_from('pretrain', {'lr_batch': -1})


def test_the_optimizer_is_sgd_unless_another_is_said():
    default = config.hparams_from('finetune', {})
    assert 'optimizer' not in hyperparameters.switched_on(default)
    other = config.hparams_from('finetune', {'optimizer': 'adamw'})
    assert hyperparameters.switched_on(other)['optimizer'] == 'adamw'
    with pytest.raises(errors.InputError, match="Did you mean 'adamw'"):
        config.hparams_from('scratch', {'optimizer': 'adam'})
