import pytest

from tests.golden import weights
from tfxfer import architectures, config, errors
from tfxfer.cli import app, convert_checkpoint
from tfxfer.transfer import resolve
from tfxfer.transfer.options import ExecutionOptions


def arguments(checkpoint, output, arch='mobilenet_v1', **flags):
    fields = {'arch': arch, 'checkpoint': checkpoint, 'output': output, **flags}
    return [f'--{name}={value}' for name, value in fields.items()]


def test_the_summary_is_printed(tmp_path, capsys):
    path = weights.write_checkpoint(
        tmp_path / 'model.ckpt', weights.tensors('mobilenet_v1')
    )
    output = tmp_path / 'out.weights.h5'
    app.call(convert_checkpoint, arguments(path, output))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'mobilenet_v1 from model.ckpt'
    assert lines[-1] == f'written: {output}' and output.exists()


def test_the_accuracy_that_is_given_is_the_source_of_runs(tmp_path):
    path = weights.write_checkpoint(
        tmp_path / 'model.ckpt', weights.tensors('mobilenet_v1')
    )
    output = tmp_path / 'out.weights.h5'
    app.call(convert_checkpoint, arguments(path, output, top1=0.612))
    run = config.from_dict(
        {
            'arch': 'mobilenet_v1', 'dataset': 'digits', 'setting': 'logistic',
            'weights': str(output),
        }
    )  # fmt: skip
    arch = architectures.find('mobilenet_v1')
    found = resolve.find_weights(run, arch, ExecutionOptions(tmp_path))
    assert found.source == {'dataset': 'imagenet2012', 'score': 0.612, 'images': None}


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({}, 'No weights at'),
        ({'arch': 'mobilenet'}, "Did you mean 'mobilenet_v"),
        ({'output': ''}, '--output is missing'),
        ({'top1': 75.2}, 'between 0 and 1; got 75.2'),
    ],
)
def test_what_is_missing_or_unknown_is_named(tmp_path, changes, expected):
    asked = {
        'checkpoint': tmp_path / 'model.ckpt', 'output': tmp_path / 'a.weights.h5',
        **changes,
    }  # fmt: skip
    with pytest.raises(errors.InputError, match=expected):
        app.call(convert_checkpoint, arguments(**asked))


def test_an_error_is_one_line_and_status_2(program, tmp_path):
    done = program('tools.convert_checkpoint', f'--checkpoint={tmp_path}')
    assert done.returncode == 2 and done.stderr.startswith('error: --arch is missing')
    assert 'Traceback' not in done.stderr
