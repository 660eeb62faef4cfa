"""The whole study: 16 networks x 12 datasets x 3 settings, 3 seeds, some 23,000 Runs.

    python -m tools.sweep --config=configs/study.py --plan
    python -m tools.sweep --config=configs/study.py --data=MY_DATA --workdir=runs/study

The first says in a minute what the study costs; the second needs many GPUs
(docs/studies.md says how to use a cluster). Flags select a part of an axis, as in
--config.archs=resnet_50,inception_v4, and --config.search=halving takes a sixth of the
trials' steps. Weights are the public ones: from TF-Slim where it has them
(--checkpoints=FOLDER), else from Keras.

The trials of the first seed choose the hyperparameters; all three seeds train with
them to the end. --config.choose=every gives each seed trials of its own.
"""

from configs import quickstart
from tfxfer import config as protocol
from tfxfer.study.study import FOUND, Study


def get_config():
    config = protocol.config_dict(
        Study,
        leave_out=FOUND,
        archs=(
            *('inception_v1', 'bn_inception', 'inception_v3', 'inception_v4'),
            *('inception_resnet_v2', 'resnet_50', 'resnet_101', 'resnet_152'),
            *('densenet_121', 'densenet_169', 'densenet_201', 'mobilenet_v1'),
            *('mobilenet_v2', 'mobilenet_v2_1.4', 'nasnet_mobile', 'nasnet_large'),
        ),
        datasets=(
            *('food101', 'cifar10', 'cifar100', 'birdsnap', 'sun397', 'cars'),
            *('aircraft', 'voc2007', 'dtd', 'pets', 'caltech101', 'flowers'),
        ),
        seeds=(0, 1, 2),
        weights='public',
        choose='once',
    )
    config.pretrain_also, config.finetune_also = {}, {}
    config.logistic = protocol.config_dict(protocol.Logistic)
    for setting, values in protocol.GRIDS.items():
        config[setting] = quickstart.grid(setting, **values)
    config.pretrain = protocol.config_dict(protocol.Pretrain)
    return config
