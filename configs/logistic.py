"""Fixed features of one network, L2 logistic regression on one task.

    python -m tfxfer.run --config=configs/logistic.py --config.dataset=folder:/my/images

gives the test score with the l2 that validation chose; minutes on a processor for some
thousand images (the network sees each once).
"""

import ml_collections


def get_config():
    config = ml_collections.ConfigDict()
    config.arch = 'mobilenet_v1'
    config.dataset = 'digits'
    config.setting = 'logistic'
    config.phase = 'final'
    config.weights = 'slim'
    config.seed = 0
    config.per_class = ml_collections.config_dict.placeholder(int)
    config.image_size = ml_collections.config_dict.placeholder(int)
    config.skip_broken = False
    return config
