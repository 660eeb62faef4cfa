import dataclasses
import inspect
import json
import re
import subprocess
import sys

import pandas as pd
import pytest
from matplotlib import figure

import tfxfer
from tests.conftest import ROOT
from tests.support import made_results as made
from tests.support import studies
from tfxfer import errors, results
from tfxfer.cli import app
from tfxfer.cli import compare as program
from tfxfer.comparison import ranking
from tfxfer.study import executors

# No download: a network that is pretrained here, for four steps.
PRETRAINED = {'weights': 'pretrain', 'source': 'colours', 'pretrain': {'steps': 4}}
ONE = {'networks': ['tiny'], 'seeds': [0], 'jobs': 1, **PRETRAINED}


def test_a_call_is_the_command_bit_for_bit(here, photographs, tmp_path, capsys):
    root = photographs(count=20)
    result = tfxfer.compare(root, workdir=tmp_path / 'call', **ONE)
    assert '60 images of 3 classes' in capsys.readouterr().out
    flags = [
        root, '--networks=tiny', '--seeds=0', '--jobs=1', '--config.weights=pretrain',
        '--config.source=colours', '--config.pretrain.steps=4',
        f'--workdir={tmp_path / "command"}',
    ]  # fmt: skip
    app.call(program, flags)
    left = studies.left_by_runs(tmp_path / 'call')
    assert left == studies.left_by_runs(tmp_path / 'command')
    assert len(left) == 2  # Pretraining, logistic.
    studies_of = [tmp_path / name / 'study.json' for name in ('call', 'command')]
    first, second = (path.read_text() for path in studies_of)
    assert first == second
    assert untimed(result) == untimed(tfxfer.load(tmp_path / 'command'))
    assert (tmp_path / 'call' / 'report.html').exists()


def untimed(result):
    return [dataclasses.replace(row, seconds=None) for row in result.ranked]


@pytest.mark.slow
def test_an_interrupted_call_goes_on_where_it_was(here, tmp_path, monkeypatch):
    whole = tfxfer.compare('colours', workdir=tmp_path / 'whole', **ONE)
    ran = executors.Local(tmp_path / 'cut')
    finished = type(ran).finished

    def interrupted(self, seconds):
        finished(self, seconds)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(ran), 'finished', interrupted)
        with pytest.raises(KeyboardInterrupt):
            tfxfer.compare('colours', workdir=tmp_path / 'cut', **ONE)
    records = tmp_path.glob('cut/*/record.json')
    (before,) = {path: path.stat().st_mtime_ns for path in records}.items()
    cut = tfxfer.compare('colours', workdir=tmp_path / 'cut', **ONE)
    assert before[0].stat().st_mtime_ns == before[1]
    assert studies.left_by_runs(cut.folder) == studies.left_by_runs(whole.folder)


def test_runs_that_fail_are_said_and_tried_again(here, tmp_path, monkeypatch):
    class Fails(studies.InstantExecutor):
        def start(self, run):
            super().start(run)
            self.ends[run.id] = [1, 1]

    with monkeypatch.context() as patch:
        patch.setattr(executors, 'Local', lambda workdir, **_: Fails(workdir))
        with pytest.raises(RuntimeError, match='1 Runs failed, .*broken with 1'):
            tfxfer.compare('colours', workdir=tmp_path, **ONE)
    assert tfxfer.compare('colours', workdir=tmp_path, **ONE).best.network == 'tiny'


@pytest.mark.parametrize(
    'fields, said',
    [
        ({'networks': ['resnet_51']}, "Did you mean 'resnet_50'"),
        ({'settings': ['logistics']}, "Did you mean 'logistic'"),
        ({'image_sise': 32}, "Did you mean 'image_size'"),
        ({'finetune': {'lr_s': (0.1,)}}, "Did you mean 'lrs'"),
        ({'networks': ['resnet_50'], 'seeds': [-1]}, 'A seed is a whole number'),
    ],
)
def test_bad_input_is_named_before_anything_starts(tmp_path, fields, said):
    with pytest.raises(errors.InputError, match=said):
        tfxfer.compare('digits', workdir=tmp_path / 'w', **fields)
    assert not (tmp_path / 'w').exists()


@pytest.mark.slow
def test_the_model_of_the_best_run_is_exported(here, photographs, tmp_path):
    result = tfxfer.compare(photographs(count=20), workdir=tmp_path / 'w', **ONE)
    path = result.export(tmp_path / 'model')
    assert (path / 'saved_model.pb').exists()
    card = json.loads((path / 'model_card.json').read_text())
    assert result.best.run in json.dumps(card)


def test_a_folder_is_loaded_with_what_its_report_says(tmp_path):
    made.write_study(tmp_path)
    result = tfxfer.load(tmp_path)
    assert isinstance(result, tfxfer.Result)
    assert isinstance(result.table, pd.DataFrame) and len(result.table) == 9
    row = result.table.iloc[0]
    assert (result.best.network, result.best.score) == (row.network, row.score)
    assert row.score == 0.94 and row.setting == 'finetune'
    page = result.report().read_text()
    for paragraph in result.answer.split('\n\n'):
        assert re.sub('[&<>"\']', '', paragraph) in re.sub('&#?[a-z0-9]+;', '', page)
    shown = result._repr_html_()
    assert shown.count('<tr>') == 1 + 9 and '<script' not in shown
    assert result.answer in repr(result)


def test_a_figure_is_of_the_report_and_known_by_name(tmp_path):
    made.write_study(tmp_path)
    result = tfxfer.load(tmp_path)
    result.report()
    drawn = {path.stem for path in (tmp_path / 'figures').glob('*.png')}
    assert set(result.figures) == drawn
    for name in (None, *list(drawn)[:2]):
        shown = result.figure(name)
        assert isinstance(shown, figure.Figure)
        # As a notebook asks for it; Matplotlib itself lets it show those of pyplot.
        assert shown._repr_png_().startswith(b'\x89PNG')
    with pytest.raises(errors.InputError, match='No figure named'):
        result.figure('nothing')


def test_of_several_tasks_none_is_the_best(tmp_path):
    for name in ('digits', 'digits_5_9'):
        run = made.run('mobilenet_v1_0.25', 'logistic', dataset=name)
        results.write(tmp_path, made.record(run, 0.5), made.predictions(50))
    result = tfxfer.load(tmp_path)
    assert set(result.table['dataset']) == {'digits', 'digits_5_9'}
    with pytest.raises(errors.InputError, match='2 tasks have one .digits, digits_5_9'):
        _ = result.best


def test_a_folder_without_runs_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / 'none'):
        with pytest.raises(errors.InputError, match='results folder|no finished Run'):
            tfxfer.load(folder)


def test_names_users_give_are_no_markup_in_a_notebook(tmp_path):
    run = made.run('mobilenet_v1_0.25', 'logistic', dataset='folder:/x/<b>bold')
    results.write(tmp_path, made.record(run, 0.5), made.predictions(50))
    shown = tfxfer.load(tmp_path)._repr_html_()
    assert '&lt;b&gt;bold' in shown and '<b>bold' not in shown


def test_the_functions_are_not_hidden_by_modules():
    """Modules that are imported become attributes of their package."""
    code = (
        'import tfxfer, tfxfer.comparison.api, tfxfer.cli.compare\n'
        'print(callable(tfxfer.compare), callable(tfxfer.load))\n'
        'print(sorted(set(tfxfer.__all__) - set(dir(tfxfer))))\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == 'True True\n[]\n', done.stderr


def test_the_page_of_the_api_tells_of_every_name():
    page = (ROOT / 'docs/api.md').read_text()
    assert f'`tfxfer.compare{signature(tfxfer.compare)}`' in page
    public = {name for name in vars(tfxfer.Result) if name[0] != '_'} | {'folder'}
    told = set(re.findall(r'`r\.(\w+)', page))
    assert public - told == {'paragraphs'} and not told - public
    fields = ranking.Ranked.__dataclass_fields__
    assert set(fields) <= set(re.findall(r'`(\w+)`', page))


def signature(function):
    """Names and defaults, without types."""
    given = inspect.signature(function).parameters.values()
    untyped = [one.replace(annotation=inspect.Parameter.empty) for one in given]
    return str(inspect.Signature(untyped))
