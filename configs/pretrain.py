"""Trains one network on a source task; other Runs start from its weights.

    python -m tfxfer.run --config=configs/pretrain.py --config.dataset=folder:/my/images

keeps model.weights.h5 in the Run's folder, which --config.weights=FOLDER takes. Any
dataset may be the source (imagenet2012, folder:/..., idx:/..., tfds:...). The rate is
the protocol's for a batch of 4,096, which --config.hparams.batch=N scales by N / 4,096.
What hurts transfer is off and can be switched on: --config.hparams.scale=false,
.label_smoothing=0.1, .dropout=0.2 and, for networks that have one, .aux=0.4.

    --transfer=pets,dtd@20 --transfer_every=5000

shows in TensorBoard how well the features transfer, while they are being learnt.
"""

from configs import logistic


def get_config():
    return logistic.get_config(
        'pretrain', weights='', lr_batch=4096, steps=40_000, batch=256
    )
