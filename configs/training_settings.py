"""Which training options hurt transfer? The Inception family, 16 ways (Fig. 3, 5).

    python -m tools.sweep --config=configs/training_settings.py --data=MY_DATA --plan

pretrains each network on ImageNet with every combination of no batch-norm scale, label
smoothing, dropout and an auxiliary classifier (8 for the two networks that have none),
with three seeds, and transfers all of them, logistic and fine-tuned, the latter also
with dropout and the auxiliary classifier during fine-tuning. --config.combine=ladder
does as the paper did: it starts with all four switched on, as the public checkpoints
were trained, and switches off one after the other. Years of one GPU;
training_settings_small.py is the same experiment within two hours of two CPU cores.
"""

from configs import study
from tfxfer import config as protocol


def get_config():
    config = study.get_config()
    config.archs = (
        *('inception_v1', 'bn_inception', 'inception_v3', 'inception_v4'),
        'inception_resnet_v2',
    )
    config.settings = ('logistic', 'finetune')
    config.weights = 'pretrain'
    config.source = 'imagenet2012'
    config.pretrain = protocol.config_dict(protocol.Pretrain)
    config.pretrain_also = {
        'scale': False, 'label_smoothing': 0.1, 'dropout': 0.2, 'aux': 0.4,
    }  # fmt: skip
    config.finetune_also = {'dropout': 0.2, 'aux': 0.4}
    return config
