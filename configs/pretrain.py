"""Trains one network on a source task; other Runs start from its weights.

    python -m tfxfer.run --config=configs/pretrain.py --config.dataset=folder:/my/images

keeps model.weights.h5 in the Run's folder, which --config.weights=FOLDER takes.
"""

from configs import logistic


def get_config():
    return logistic.get_config(
        'pretrain', weights='', lr=0.1, wd=8e-6, steps=40_000, batch=256
    )
