"""Two small networks x three settings x three seeds on digits, from random weights.

    bash tools/quickstart.sh

pretrains each network on the handwritten digits 0-4 (scikit-learn's real scans) and
transfers it to the digits 5-9 with ten images per class: table, figure and report in
runs/quickstart. Each seed has its own pretraining, images, initialisation and order. No
download; six minutes on two CPU cores.
"""

from tfxfer import config as protocol
from tfxfer.study.study import FOUND, Study


def get_config():
    config = protocol.config_dict(Study, leave_out=FOUND, archs=(), datasets=())
    config.archs = ('mobilenet_v1_0.25', 'mobilenet_v1_0.5')
    config.datasets = ('digits_5_9',)
    config.settings = ('logistic', 'finetune', 'scratch')
    config.seeds = (0, 1, 2)
    config.choose = 'once'
    config.per_class = (10,)
    config.image_size = 32
    config.weights = 'pretrain'
    config.source = 'digits_0_4'
    # Digits: a mirror image is no digit, and small crops lose the strokes.
    recipe = {'batch': 32, 'flip': False, 'min_area': 0.6}
    # Too short for the protocol's warm-up, stairs and average of weights.
    short = {'warmup': 0.0, 'decay': 0.0, 'ema': 0.0}
    config.pretrain = protocol.config_dict(
        protocol.Pretrain, **recipe, **short, lr=0.05, wd=5e-6, steps=150
    )
    config.pretrain_also, config.finetune_also = {}, {}
    config.logistic = protocol.config_dict(protocol.Logistic)
    config.finetune = grid('finetune', **recipe, steps=50, lrs=(0.03,), wds=(1e-5,))
    config.scratch = grid('scratch', **recipe, steps=100, lrs=(0.1,), wds=(1e-5,))
    return config


def grid(setting, **values):
    """Every hyperparameter of a setting, with `lrs` and `wds` for the grid."""
    values = {'epochs': 0.0, **values}
    return protocol.config_dict(
        protocol.HPARAMS[setting], leave_out=('lr', 'wd'), **values
    )
