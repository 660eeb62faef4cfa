"""Which training options hurt transfer? A small Inception v3, 16 ways, three seeds.

    python -m tools.registry_images --data=MY_DATA
    python -m tools.sweep --config=configs/training_settings_small.py --data=MY_DATA

Pretrained on five classes of Fashion-MNIST, then logistic regression on its features of
the five other classes, of digits and of drawings of animals, 50 images per class.
"""

from configs import training_settings
from tfxfer import config as protocol


def get_config():
    config = training_settings.get_config()
    config.archs = ('inception_v3_small',)
    config.datasets = ('fashion_target', 'mnist', 'digits', 'quickdraw_animals')
    config.settings = ('logistic',)
    config.per_class = (50,)
    config.source = 'fashion_source'
    recipe = {'min_area': 0.4, 'batch': 64}
    # Too short for the protocol's stairs and average of weights.
    config.pretrain = protocol.config_dict(
        protocol.Pretrain,
        **recipe, lr=0.1, wd=1e-5, steps=600, warmup=0.2, decay=0.0, ema=0.0,
    )  # fmt: skip
    config.finetune.update(
        {**recipe, 'batch': 32, 'steps': 100, 'lrs': (0.03,), 'wds': (0.0,)}
    )
    config.finetune_also = {}
    return config
