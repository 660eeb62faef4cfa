"""Fine-tunes one network on one task, at one learning rate and weight decay.

    python -m tfxfer.run --config=configs/finetune.py --config.dataset=folder:/my/images

gives the test score after the protocol's 20,000 steps at batch 256: hours on a GPU. The
grid that chooses the two values is a sweep's (tools/sweep.py).
"""

from configs import logistic


def get_config():
    return logistic.get_config('finetune', lr=0.01, wd=1e-5)
