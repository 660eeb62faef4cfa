"""Transfer from TF-Slim's ImageNet weights: MobileNet v1 to the ten digits.

    python -m tools.sweep --config=configs/imagenet.py --checkpoints=MY_CHECKPOINTS

gives logistic and finetune at 224 pixels with 20 images a class; minutes on two cores.
Steps and grid are small, for a processor. The protocol's need a GPU:
--config.finetune.steps=20000 --config.finetune.batch=256.
"""

import ml_collections


def get_config():
    config = ml_collections.ConfigDict()
    config.archs = ('mobilenet_v1',)
    config.datasets = ('digits',)
    config.settings = ('logistic', 'finetune')
    config.seeds = (0,)
    config.per_class = (20,)
    config.weights = 'slim'
    config.source = ''
    config.skip_broken = False
    config.image_size = ml_collections.config_dict.placeholder(int)
    config.logistic = ml_collections.ConfigDict()
    config.finetune = ml_collections.ConfigDict(
        {
            'lrs': (0.003, 0.03),
            'wds': (0.0, 1e-5),
            'steps': 60,
            'batch': 16,
            'flip': False,  # A mirror image means something else here.
            'min_area': 0.6,
        }
    )
    return config
