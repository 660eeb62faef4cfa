import pytest

from tests.golden import weights
from tfxfer import errors
from tfxfer.cli import app, convert_checkpoint


def arguments(checkpoint, output, arch='mobilenet_v1'):
    return f'--arch={arch}', f'--checkpoint={checkpoint}', f'--output={output}'


def test_the_summary_is_printed(tmp_path, capsys):
    path = weights.write_checkpoint(
        tmp_path / 'model.ckpt', weights.tensors('mobilenet_v1')
    )
    output = tmp_path / 'out.weights.h5'
    app.call(convert_checkpoint, arguments(path, output))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'mobilenet_v1 from model.ckpt'
    assert lines[-1] == f'written: {output}' and output.exists()


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({}, 'No weights at'),
        ({'arch': 'mobilenet'}, "Did you mean 'mobilenet_v"),
        ({'output': ''}, '--output is missing'),
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
