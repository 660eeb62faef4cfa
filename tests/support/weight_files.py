"""What tests of files of weights share."""

from tests.golden import weights
from tfxfer import architectures

MOBILENET = architectures.ARCHITECTURES['mobilenet_v1']


DATA = '.data-00000-of-00001'


def logits(model):
    return model(weights.pictures(224))['logits'].numpy()


def cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
