"""Three small networks x three settings on handwritten digits, from nothing.

    bash tools/quickstart.sh

pretrains each network on the digits 0-4 (scikit-learn's real scans) and transfers it to
the digits 5-9 with ten images a class: table, figure and report in runs/quickstart.
No download; about four minutes on two cores.
"""

import ml_collections


def get_config():
    config = ml_collections.ConfigDict()
    config.archs = ('mobilenet_v1_0.25', 'mobilenet_v1_0.5', 'mobilenet_v2_0.35')
    config.datasets = ('digits_5_9',)
    config.settings = ('logistic', 'finetune', 'scratch')
    config.seeds = (0,)
    config.per_class = (10,)
    config.weights = 'pretrain'
    config.source = 'digits_0_4'
    config.skip_broken = False
    config.image_size = ml_collections.config_dict.placeholder(int)
    # Digits: a mirror image is no digit, and small crops lose the strokes.
    recipe = {'batch': 32, 'flip': False, 'min_area': 0.6}
    config.pretrain = ml_collections.ConfigDict(
        # Too short for the protocol's warm-up, stairs and average of weights.
        dict(recipe, lr=0.05, wd=5e-6, steps=300, warmup=0.0, decay=0.0, ema=0.0)
    )
    config.logistic = ml_collections.ConfigDict()
    config.finetune = ml_collections.ConfigDict(
        dict(recipe, steps=50, lrs=(0.01, 0.1), wds=(0.0, 1e-5))
    )
    config.scratch = ml_collections.ConfigDict(
        dict(recipe, steps=100, lrs=(0.03, 0.3), wds=(1e-5,))
    )
    return config
