import pytest

import tfxfer
from tests.support import studies
from tfxfer import errors, race_log, results
from tfxfer.cli import app
from tfxfer.cli import compare as program
from tfxfer.comparison import racing
from tfxfer.study import executors

# No download: a network that is pretrained here, for four steps.
FLAGS = (
    '--networks=tiny', '--seeds=0', '--jobs=1', '--config.weights=pretrain',
    '--config.source=colours', '--config.pretrain.steps=4',
)  # fmt: skip
PRETRAINED = {'weights': 'pretrain', 'source': 'colours', 'pretrain': {'steps': 4}}
ONE = {'networks': ['tiny'], 'seeds': [0], 'jobs': 1, **PRETRAINED}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Rates are not measured: another test does."""
    monkeypatch.setattr(racing, 'rates', lambda study, options: {'tiny': 1000.0})


def test_a_race_ends_with_ranking_answer_and_report(
    here, photographs, tmp_path, capsys
):
    root = photographs(count=200, size=(8, 8))
    app.call(program, [root, *FLAGS, '--minutes=10', f'--workdir={tmp_path / "w"}'])
    out = capsys.readouterr().out
    assert 'A race of 1 network under' in out
    assert 'tiny alone is left' in out
    assert 'all networks that were left are measured on all images' in out
    assert out.strip().endswith('report.html')
    assert race_log.read(tmp_path / 'w').events[-1].kind == 'stopped'
    # It is the Run that there is without a limit.
    app.call(program, [root, *FLAGS, f'--workdir={tmp_path / "full"}'])
    left = studies.left_by_runs(tmp_path / 'full')
    assert studies.left_by_runs(tmp_path / 'w') == left


@pytest.mark.slow
def test_a_call_is_the_command(here, photographs, tmp_path):
    root = photographs(count=200, size=(8, 8))
    found = tfxfer.compare(root, workdir=tmp_path / 'w', minutes=10, **ONE)
    assert found.best.network == 'tiny'
    assert 'all networks that were left are measured' in found.answer
    (record,) = [
        record
        for record in results.read_folder(tmp_path / 'w').records
        if record.run.setting == 'logistic'
    ]
    assert record.run.share is None


@pytest.mark.slow
def test_ctrl_c_gives_the_answer_so_far(
    here, photographs, tmp_path, capsys, monkeypatch
):
    root = photographs(count=200, size=(8, 8))
    local = executors.Local(tmp_path)
    finished = type(local).finished

    def interrupted(self, seconds):
        ended = finished(self, seconds)
        if any('logistic' in name for name in ended):
            raise KeyboardInterrupt
        return ended

    monkeypatch.setattr(type(local), 'finished', interrupted)
    flags = [root, *FLAGS, '--minutes=10', f'--workdir={tmp_path / "w"}']
    with pytest.raises(KeyboardInterrupt):
        app.call(program, flags)
    out = capsys.readouterr().out
    assert '### Ranking' in out and 'tiny' in out
    assert (tmp_path / 'w/report.html').exists()


def test_ctrl_c_before_the_first_run_ends_says_how_to_go_on(
    here, photographs, tmp_path, capsys, monkeypatch
):
    root = photographs(count=200, size=(8, 8))
    local = executors.Local(tmp_path)

    def interrupted(self, seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(local), 'finished', interrupted)
    flags = [root, *FLAGS, '--minutes=10', f'--workdir={tmp_path / "w"}']
    with pytest.raises(KeyboardInterrupt):
        app.call(program, flags)
    assert 'No network has been measured yet.' in capsys.readouterr().out


def test_too_few_minutes_for_any_network_say_how_many_would_do(
    here, photographs, tmp_path, capsys
):
    root = photographs(count=200, size=(8, 8))
    flags = [root, *FLAGS, '--minutes=0.001', f'--workdir={tmp_path / "w"}']
    with pytest.raises(app.Failed, match='No network has been measured.*--minutes'):
        app.call(program, flags)
    assert 'gives an answer' in capsys.readouterr().out
    with pytest.raises(errors.InputError, match='No network has been measured'):
        tfxfer.compare(root, workdir=tmp_path / 'w', minutes=0.001, **ONE)


@pytest.mark.parametrize(
    'flags, said',
    [
        (['--networks='], '--networks is empty'),
        (['--seeds=', '--minutes=5'], '--seeds is empty'),
        (['--minutes=0'], 'above 0'),
        (['--minutes=-1'], 'minutes'),
        (['--minutes=5', '--settings=finetune'], '--settings=logistic,finetune'),
        (['--minutes=5', '--config.per_class=5'], 'Leave per_class'),
    ],
)
def test_what_cannot_be_raced_is_said_before_anything_starts(
    photographs, tmp_path, flags, said
):
    root, workdir = photographs(), tmp_path / 'w'
    with pytest.raises(
        (errors.InputError, app.flags.IllegalFlagValueError), match=said
    ):
        app.call(program, [root, f'--workdir={workdir}', *flags])
    assert not workdir.exists()
