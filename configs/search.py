"""How much does a cheaper search of the grid lose? Fine-tuning on few digits, 5 seeds.

    python -m tools.bench_search --checkpoints=MY_CHECKPOINTS

MobileNet v1 from ImageNet, 64 pixels, 20 images per class, 3 learning rates per decade
as in the protocol and 3 of its weight decays; about an hour on two CPU cores.
"""

from configs import imagenet
from tfxfer import config as protocol


def get_config():
    config = imagenet.get_config()
    config.settings = ('finetune',)
    config.seeds = (0, 1, 2, 3, 4)
    config.image_size = 64
    config.finetune.update(
        {
            'steps': 64,
            'lrs': protocol.GRIDS['finetune']['lrs'],
            'wds': (0.0, 1e-5, 1e-4),
        }
    )
    return config
