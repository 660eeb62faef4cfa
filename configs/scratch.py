"""Trains one network on one task from random weights.

    python -m tfxfer.run --config=configs/scratch.py --config.dataset=folder:/my/images

gives the test score after the protocol's 40,000 steps at batch 256: twice as long as
fine-tuning.
"""

from configs import logistic


def get_config():
    return logistic.get_config('scratch', weights='', lr=0.1, wd=1e-3)
