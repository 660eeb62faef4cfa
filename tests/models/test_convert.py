"""TF-Slim checkpoint, as it may come, -> file of weights."""

import re
import tarfile

import numpy as np
import pytest

from tests.golden import weights
from tfxfer import architectures, errors, models
from tfxfer.models import checkpoints, convert, slim, weights_h5

MOBILENET = architectures.ARCHITECTURES['mobilenet_v1']


@pytest.fixture
def values():
    return weights.tensors('mobilenet_v1')


def archive(path, files, mode='w:gz'):
    """As TF-Slim's: the checkpoint among other files, in a folder or not."""
    (path.parent / 'README').write_text('x')
    (path.parent / 'model.ckpt.meta').write_text('x')
    with tarfile.open(path, mode) as tar:
        for name in (*files, 'README', 'model.ckpt.meta'):
            tar.add(path.parent / name, arcname=f'./mobilenet/{name}')
    return path


def test_the_summary_says_what_was_written(values, tmp_path):
    kernel = 'MobilenetV1/Conv2d_0/weights'
    added = {
        f'{kernel}{slim.AVERAGE}': values[kernel] + 1,
        'global_step': np.int64(7),
        f'{kernel}/Momentum': values[kernel],
    }
    path = weights.write_checkpoint(tmp_path / 'model.ckpt', {**values, **added})
    output = tmp_path / 'out.weights.h5'
    text = '\n'.join([*convert.convert(MOBILENET, str(path), str(output)), ''])
    assert 'variables: 137, of these moving averages: 1\n' in text
    # As counted in TF-Slim's graph, moving statistics and classifier included.
    assert 'parameters: 4,254,889\n' in text
    assert 'classes: 1001\n' in text
    assert f'ignored: {kernel}/Momentum, global_step\n' in text
    digest = re.search(r'digest: (\w{64})\n', text)[1]
    assert digest == checkpoints.digest(path)
    metadata = weights_h5.metadata(output)
    assert metadata['source'] == 'model.ckpt'
    assert metadata['checkpoint_digest'] == digest
    found = models.build(MOBILENET, None, output).get_layer('MobilenetV1.Conv2d_0')
    np.testing.assert_array_equal(found.kernel, values[kernel] + 1)

    lines = convert.convert(MOBILENET, str(path), output, averages=False)
    assert 'variables: 137, of these moving averages: 0' in lines
    found = models.build(MOBILENET, None, output).get_layer('MobilenetV1.Conv2d_0')
    np.testing.assert_array_equal(found.kernel, values[kernel])


@pytest.mark.parametrize(('v1', 'ending'), [(True, '.tar.gz'), (False, '.tgz')])
def test_an_archive_as_published_is_unpacked(values, tmp_path, v1, ending):
    path = weights.write_checkpoint(tmp_path / 'model.ckpt', values, v1=v1)
    files = [file.name for file in tmp_path.iterdir()]
    packed = archive(tmp_path / f'mobilenet{ending}', files)
    output = tmp_path / 'out.weights.h5'
    convert.convert(MOBILENET, str(packed), output)
    direct = models.build(MOBILENET, None, path)
    found = models.build(MOBILENET, None, output)
    for ours, theirs in zip(found.weights, direct.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert weights_h5.metadata(output)['source'] == packed.name


def test_a_truncated_archive_is_one_clear_error(values, tmp_path):
    weights.write_checkpoint(tmp_path / 'model.ckpt', values)
    files = [file.name for file in tmp_path.iterdir()]
    packed = archive(tmp_path / 'mobilenet.tar.gz', files)
    content = packed.read_bytes()
    packed.write_bytes(content[: len(content) // 2])
    with pytest.raises(errors.InputError, match='Cannot unpack.*get it again'):
        convert.convert(MOBILENET, str(packed), tmp_path / 'a.weights.h5')
    assert not (tmp_path / 'a.weights.h5').exists()


def test_an_archive_without_a_checkpoint_is_refused(tmp_path):
    packed = archive(tmp_path / 'mobilenet.tgz', [])
    with pytest.raises(errors.InputError, match='just one checkpoint'):
        convert.convert(MOBILENET, str(packed), tmp_path / 'a.weights.h5')


def test_an_archive_given_as_weights_is_told_where_to_go(tmp_path):
    packed = archive(tmp_path / 'mobilenet.tgz', [])
    with pytest.raises(errors.InputError, match='tools.convert_checkpoint'):
        models.build(MOBILENET, None, packed)


@pytest.mark.parametrize(
    ('arch', 'output', 'expected'),
    [
        ('mobilenet_v1', 'a.weights.h5', 'lacks 1 .*MobilenetV1/Conv2d_0/weights'),
        ('resnet_50', 'a.weights.h5', 'looks like mobilenet_v1'),
        ('mobilenet_v1', 'a.h5', 'must end in .weights.h5'),
        ('mobilenet_v1', 'no/a.weights.h5', 'there is no folder'),
    ],
)
def test_nothing_is_written_when_something_is_wrong(
    values, tmp_path, arch, output, expected
):
    del values['MobilenetV1/Conv2d_0/weights']
    path = weights.write_checkpoint(tmp_path / 'in' / 'model.ckpt', values)
    arch = architectures.ARCHITECTURES[arch]
    with pytest.raises(errors.InputError, match=expected):
        convert.convert(arch, str(path), tmp_path / output)
    assert [found.name for found in tmp_path.iterdir()] == ['in']
