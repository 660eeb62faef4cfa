import json

import pytest

from tfxfer import config, datasets, results
from tfxfer.cli import app, evaluate
from tfxfer.transfer import execute
from tfxfer.transfer.options import ExecutionOptions


@pytest.mark.slow
def test_accuracies_are_printed_and_written(tmp_path, capsys):
    hparams = {'steps': 2, 'batch': 8, 'warmup': 0.0, 'decay': 0.0, 'ema': 0.0}
    made = config.from_dict({
        'arch': 'mobilenet_v1_0.25', 'dataset': 'digits', 'setting': 'pretrain',
        'image_size': 32, 'hparams': hparams,
    })  # fmt: skip
    record = execute.execute(made, ExecutionOptions(tmp_path))
    folder = results.folder(tmp_path, record.run)
    output = tmp_path / 'accuracy.json'
    app.call(evaluate, [f'--weights={folder}', f'--output={output}'])
    assert f'top-1 {100 * record.score:.2f} %, top-5' in capsys.readouterr().out
    assert json.loads(output.read_text())['top1'] == record.score


def test_missing_images_are_one_line(program):
    done = program('tools.evaluate', '--arch=mobilenet_v1', '--data=nowhere')
    assert done.returncode == 2 and done.stderr.count('error:') == 1
    assert datasets.DATASETS['imagenet2012'].tfds.partition(':')[0] in done.stderr
