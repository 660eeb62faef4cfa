import pytest

from tests.support.fakes import ARCHITECTURE
from tfxfer import config, errors, models, results
from tfxfer.cli import app, export
from tfxfer.transfer import execute
from tfxfer.transfer.options import ExecutionOptions


def test_a_final_run_becomes_a_model(fakes, tmp_path, capsys):
    models.save_weights(
        models.build(ARCHITECTURE, classes=3, options=models.NetworkOptions(seed=7)),
        tmp_path / 'a.weights.h5',
    )
    fields = {
        'arch': 'tiny', 'dataset': 'colours', 'setting': 'logistic',
        'weights': str(tmp_path / 'a.weights.h5'), 'hparams': {'l2s': (1.0,)},
    }  # fmt: skip
    record = execute.execute(
        config.from_dict(fields), ExecutionOptions(tmp_path / 'runs')
    )
    folder, output = results.folder(tmp_path / 'runs', record.run), tmp_path / 'model'
    app.call(export, [f'--run={folder}', f'--output={output}'])
    assert capsys.readouterr().out.splitlines()[-1] == str(output)
    assert (output / 'model_card.json').exists()


def test_a_run_and_an_output_are_needed():
    with pytest.raises(errors.InputError, match='--run=DIR --output=DIR'):
        app.call(export, ['--run=runs/x'])


@pytest.mark.parametrize('name', ['a[1]', 'a*', 'a?', 'a\\b'])
def test_an_output_that_tensorflow_could_not_load_is_refused(name, tmp_path):
    with pytest.raises(errors.InputError, match='make a path a pattern'):
        app.call(export, ['--run=runs/x', f'--output={tmp_path / name}'])


def test_the_program_says_what_it_needs(program):
    done = program('tfxfer.export')
    assert done.returncode == 2 and '--run=DIR --output=DIR' in done.stderr
