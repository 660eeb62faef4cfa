"""Which ImageNet network transfers best to my images?

    python -m tools.sweep --config=configs/images.py --config.datasets=folder:/my/images

compares six networks, with Keras' weights, by logistic regression on their features: on
two CPU cores about a minute per network for 1,000 images. One folder per class; see
docs/own_images.md. `tfxfer compare /my/images` does it too, and ranks them. On a GPU
add --config.settings=logistic,finetune: 59 Runs of 20,000 steps per network (56 trials,
and the chosen values with three seeds), or fewer and shorter ones with
--config.finetune.lrs=0.003,0.03 --config.finetune.steps=2000.
"""

from configs import quickstart
from tfxfer import config as protocol


def get_config():
    config = quickstart.get_config()
    config.archs = (
        'mobilenet_v1',
        'mobilenet_v2',
        'nasnet_mobile',
        'densenet_121',
        'resnet_50',
        'inception_v3',
    )
    config.datasets = ('folder:/my/images',)
    config.settings = ('logistic',)
    config.per_class = (0,)
    config.image_size = None
    config.weights = 'keras'
    config.source = ''
    # The protocol's, not the quickstart's for digits.
    for setting, values in protocol.GRIDS.items():
        config[setting] = quickstart.grid(setting, **values)
    return config
