"""A short pretrain Run of the tiny network."""

from tfxfer import config

SGD = {
    'steps': 12, 'batch': 16, 'lr': 0.1, 'min_area': 0.5, 'warmup': 0.0, 'decay': 0.0,
    'ema': 0.9,
}  # fmt: skip


def pretrain(**changes):
    fields = {'arch': 'tiny', 'dataset': 'colours', 'setting': 'pretrain'}
    return config.from_dict({**fields, 'hparams': SGD, **changes})
