"""Logistic regression on the fixed features of one network, on one task.

    python -m tfxfer.run --config=configs/logistic.py --config.dataset=folder:/my/images

gives the test score with the penalty that validation chose; minutes on a CPU for some
thousand images (the network sees each once).
"""

from tfxfer import config as protocol


def get_config(setting='logistic', weights='slim', **hparams):
    """Every field of config.Run, with what differs from the protocol in `hparams`."""
    return protocol.config_dict(
        protocol.Run,
        leave_out=(
            *('arch_digest', 'dataset_digest', 'weights_digest'),
            *('trials', 'search', 'resume', 'length'),
        ),
        arch='mobilenet_v1',
        dataset='digits',
        setting=setting,
        weights=weights,
        hparams=protocol.config_dict(protocol.HPARAMS[setting], **hparams),
    )
