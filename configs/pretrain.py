"""Trains one network on a source task; other Runs start from its weights.

    python -m tfxfer.run --config=configs/pretrain.py --config.dataset=folder:/my/images

writes model.weights.h5 into the Run's folder, which --config.weights=FOLDER takes. Any
dataset may be the source (imagenet2012, folder:/..., idx:/..., tfds:...). The learning
rate is the protocol's for a batch of 4,096; --config.hparams.batch=N scales it by
N / 4,096. Options that the paper found to hurt transfer are off and can be switched on:
--config.hparams.scale=false, .label_smoothing=0.1, .dropout=0.2 and, for networks that
have one, .aux=0.4.

    --transfer=pets,dtd@20 --transfer_every=5000

shows in TensorBoard how well the features transfer while the network is trained.
"""

from configs import logistic


def get_config():
    return logistic.get_config(
        'pretrain', weights='', lr_batch=4096, steps=40_000, batch=256
    )
