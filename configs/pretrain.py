"""Trains one network on a source task; other Runs start from its weights.

    python -m tfxfer.run --config=configs/pretrain.py --config.dataset=folder:/my/images

keeps model.weights.h5 in the Run's folder, which --config.weights=FOLDER takes.
"""

from configs import finetune


def get_config():
    config = finetune.get_config()
    config.setting = 'pretrain'
    config.weights = ''
    config.hparams.update({'lr': 0.1, 'wd': 8e-6, 'steps': 40_000})
    config.hparams.update({'warmup': 10.0, 'decay': 0.975, 'ema': 0.9999})
    return config
