"""The program: TF-Slim checkpoint, as it may come, -> file of weights."""

import re
import tarfile

import numpy as np
import pytest

from tests.golden import weights
from tfxfer import architectures, errors, models
from tfxfer.models import checkpoints
from tools import convert_checkpoint, list_architectures

MOBILENET = architectures.ARCHITECTURES['mobilenet_v1']
PROGRAM = 'tools.convert_checkpoint'


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


def arguments(checkpoint, output, arch='mobilenet_v1'):
    return f'--arch={arch}', f'--checkpoint={checkpoint}', f'--output={output}'


def test_the_program_sums_up_what_it_wrote(program, values, tmp_path):
    kernel = 'MobilenetV1/Conv2d_0/weights'
    added = {
        f'{kernel}{checkpoints.AVERAGE}': values[kernel] + 1,
        'global_step': np.int64(7),
        f'{kernel}/Momentum': values[kernel],
    }
    path = weights.write_checkpoint(tmp_path / 'model.ckpt', {**values, **added})
    output = tmp_path / 'out.weights.h5'
    done = program(PROGRAM, *arguments(path, output))
    assert done.returncode == 0, done.stderr
    assert 'variables: 137, of these moving averages: 1\n' in done.stdout
    # As counted in TF-Slim's graph, moving statistics and classifier included.
    assert 'parameters: 4,254,889\n' in done.stdout
    assert 'classes: 1001\n' in done.stdout
    assert f'ignored: {kernel}/Momentum, global_step\n' in done.stdout
    digest = re.search(r'digest: (\w{64})\n', done.stdout)[1]
    assert digest == checkpoints.digest(path)
    facts = checkpoints.facts(output)
    assert facts['source'] == 'model.ckpt' and facts['checkpoint_digest'] == digest
    found = models.build(MOBILENET, None, output).get_layer('MobilenetV1.Conv2d_0')
    np.testing.assert_array_equal(found.kernel, values[kernel] + 1)

    lines = convert_checkpoint.convert(MOBILENET, str(path), output, averages=False)
    assert 'variables: 137, of these moving averages: 0' in lines
    found = models.build(MOBILENET, None, output).get_layer('MobilenetV1.Conv2d_0')
    np.testing.assert_array_equal(found.kernel, values[kernel])


@pytest.mark.parametrize(('v1', 'ending'), [(True, '.tar.gz'), (False, '.tgz')])
def test_an_archive_as_published_is_unpacked(values, tmp_path, v1, ending):
    path = weights.write_checkpoint(tmp_path / 'model.ckpt', values, v1=v1)
    files = [file.name for file in tmp_path.iterdir()]
    packed = archive(tmp_path / f'mobilenet{ending}', files)
    output = tmp_path / 'out.weights.h5'
    convert_checkpoint.convert(MOBILENET, str(packed), output)
    direct = models.build(MOBILENET, None, path)
    found = models.build(MOBILENET, None, output)
    for ours, theirs in zip(found.weights, direct.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert checkpoints.facts(output)['source'] == packed.name


def test_a_truncated_archive_is_one_clear_error(values, tmp_path):
    weights.write_checkpoint(tmp_path / 'model.ckpt', values)
    files = [file.name for file in tmp_path.iterdir()]
    packed = archive(tmp_path / 'mobilenet.tar.gz', files)
    content = packed.read_bytes()
    packed.write_bytes(content[: len(content) // 2])
    with pytest.raises(errors.InputError, match='Cannot unpack.*get it again'):
        convert_checkpoint.convert(MOBILENET, str(packed), tmp_path / 'a.weights.h5')
    assert not (tmp_path / 'a.weights.h5').exists()


def test_an_archive_without_a_checkpoint_is_refused(tmp_path):
    packed = archive(tmp_path / 'mobilenet.tgz', [])
    with pytest.raises(errors.InputError, match='just one checkpoint'):
        convert_checkpoint.convert(MOBILENET, str(packed), tmp_path / 'a.weights.h5')


def test_an_archive_given_as_weights_is_told_where_to_go(tmp_path):
    packed = archive(tmp_path / 'mobilenet.tgz', [])
    with pytest.raises(errors.InputError, match='tools.convert_checkpoint'):
        models.build(MOBILENET, None, packed)


def test_bad_input_is_one_line_and_status_2(program, tmp_path):
    path, output = tmp_path / 'model.ckpt', tmp_path / 'a.weights.h5'
    for given, expected in (
        (arguments(path, output), 'No weights at'),
        (arguments(path, output, arch='mobilenet'), "Did you mean 'mobilenet_v"),
        (arguments(path, output)[:2], '--output is missing'),
    ):
        done = program(PROGRAM, *given)
        last = done.stderr.splitlines()[-1]
        assert done.returncode == 2 and re.search(f'error: .*{expected}', last), last
        assert 'Traceback' not in done.stderr


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
        convert_checkpoint.convert(arch, str(path), tmp_path / output)
    assert [found.name for found in tmp_path.iterdir()] == ['in']


def test_the_list_says_which_weights_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv('KERAS_HOME', str(tmp_path))
    (tmp_path / 'models').mkdir()
    (tmp_path / 'models' / 'densenet201_weights_tf_dim_ordering_tf_kernels.h5').touch()
    stem = MOBILENET.checkpoint
    few = {'a/weights': np.zeros(1, np.float32)}
    weights.write_checkpoint(tmp_path / stem / f'{stem}.ckpt', few)
    rows = {row[0]: row[1:] for row in list_architectures.rows(tmp_path)}
    assert rows['mobilenet_v1'] == (
        '224',
        '1024',
        '3.2 M',
        '568 M',
        "70.9 % (TF-Slim's table)",
        'slim, [keras]',
    )
    assert rows['densenet_201'][-2:] == ("77.3 % (torchvision's weights)", 'keras')
    assert rows['inception_v4'][-1] == '[slim]'
    assert rows['mobilenet_v1_0.5'][-1] == '-'


def test_the_list_has_a_row_for_every_network(program):
    done = program('tools.list_architectures')
    assert done.returncode == 0, done.stderr
    header, *lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(architectures.ARCHITECTURES)
    assert header.startswith('name') and header.endswith('weights')
