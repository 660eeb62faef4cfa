"""Transfer from TF-Slim's ImageNet weights: MobileNet v1 to the ten digits.

    python -m tools.sweep --config=configs/imagenet.py --checkpoints=MY_CHECKPOINTS

gives logistic and finetune at 224 pixels with 20 images per class, three seeds, in
minutes on two CPU cores. Steps and grid are small, for a CPU. The protocol's need a
GPU: --config.finetune.steps=20000 --config.finetune.batch=256.
"""

from configs import quickstart


def get_config():
    config = quickstart.get_config()
    config.archs = ('mobilenet_v1',)
    config.datasets = ('digits',)
    config.settings = ('logistic', 'finetune')
    config.per_class = (20,)
    config.image_size = None
    config.weights = 'slim'
    config.source = ''
    config.finetune.update({'batch': 16, 'steps': 60, 'lrs': (0.003, 0.03)})
    return config
