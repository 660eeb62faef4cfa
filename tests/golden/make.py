"""Makes the files of this folder from the reference of TF-Slim's own graphs.

    python -m tests.golden.make --reference=../shared/slim_reference

NET.npz: `variables` (JSON of [[name, shape], ...] as bytes), `digest` (SHA-256 of the
weights that weights.py draws for them), and what TF-Slim's graph gives for the two
pictures of its size: `logits`, `features`, `aux_logits` where it has them, and of some
endpoints `mean/ENDPOINT`, `std/ENDPOINT` [2, channels] over height and width. The
DenseNets were fed x / 127.5 - 1; `native_logits`, `native_features` are of their own
scaling. inputs_SIZE_i.png: the pictures.
"""

import json
import pathlib

import numpy as np
from absl import app, flags
from PIL import Image

REFERENCE = flags.DEFINE_string('reference', None, 'Folder of the reference.')

FOLDER = pathlib.Path(__file__).parent

# Name of the reference -> name here.
NETS = {
    'inception_v1': 'inception_v1',
    'inception_v2': 'bn_inception',
    'inception_v3': 'inception_v3',
    'inception_v4': 'inception_v4',
    'inception_resnet_v2': 'inception_resnet_v2',
    'resnet_v1_50': 'resnet_50',
    'resnet_v1_101': 'resnet_101',
    'resnet_v1_152': 'resnet_152',
    'densenet121': 'densenet_121',
    'densenet169': 'densenet_169',
    'densenet201': 'densenet_201',
    'mobilenet_v1_1.0': 'mobilenet_v1',
    'mobilenet_v2_1.0': 'mobilenet_v2',
    'mobilenet_v2_1.4': 'mobilenet_v2_1.4',
    'nasnet_mobile': 'nasnet_mobile',
    'nasnet_large': 'nasnet_large',
}


def main(_):
    reference = pathlib.Path(REFERENCE.value)
    for size in (224, 299, 331):
        images = np.load(reference / f'inputs_{size}.npz')['images']
        for i, image in enumerate(images):
            Image.fromarray(image).save(
                FOLDER / f'inputs_{size}_{i}.png', optimize=True
            )
    for there, here in NETS.items():
        facts = json.loads((reference / f'{there}.json').read_text())
        numbers = np.load(reference / f'{there}.npz')
        np.savez_compressed(FOLDER / f'{here}.npz', **compact(facts, numbers))


def compact(facts, numbers):
    """What one NET.npz holds."""
    variables = json.dumps(facts['variables'], separators=(',', ':'))
    kept = {
        'variables': np.frombuffer(variables.encode(), np.uint8),
        'digest': np.frombuffer(bytes.fromhex(facts['weights_sha256']), np.uint8),
        'logits': numbers['logits'],
        'features': numbers['penultimate'],
    }
    if 'aux_logits' in numbers:
        kept['aux_logits'] = numbers['aux_logits']
    if 'logits_native' in numbers:
        kept['native_logits'] = numbers['logits_native']
        kept['native_features'] = numbers['penultimate_native']
    for key in numbers:
        if key.startswith('ep/'):
            endpoint, _, statistic = key.removeprefix('ep/').rpartition('/')
            kept[f'{statistic}/{endpoint}'] = numbers[key]
    return kept


if __name__ == '__main__':
    flags.mark_flag_as_required('reference')
    app.run(main)
