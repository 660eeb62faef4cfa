"""Finished pretrain Runs, without their training."""

from tfxfer import config, models, results


def pretrain(**fields):
    sgd = {'steps': 20, 'batch': 16, 'lr': 0.1, 'min_area': 0.5, 'ema': 0.0}
    hparams = {**sgd, 'warmup': 0.0, 'decay': 0.0, **fields.pop('hparams', {})}
    made = {'arch': 'tiny', 'dataset': 'colours', 'setting': 'pretrain'}
    return config.from_dict({**made, 'hparams': hparams, **fields})


def finish(one, workdir, model, score=0.5):
    """Leaves behind what a pretrain Run does that has made this network."""
    images = {'train': 4, 'valid': 2, 'test': 2, 'skipped': 0}
    record = results.Record(one, 'top1', score, None, images, classes=('a', 'b'))
    results.write(workdir, record, {})
    models.save_weights(model, results.folder(workdir, one) / 'model.weights.h5')
