import re
import shlex

import pytest

import tfxfer
from tests.support import studies
from tfxfer import config, errors, results
from tfxfer.cli import app, compare, sweep
from tfxfer.comparison import networks
from tfxfer.report import section, text

# No download: a network that is pretrained here, for four steps.
SMALL = (
    '--config.weights=pretrain', '--config.source=colours', '--config.pretrain.steps=4',
    '--networks=tiny',
)  # fmt: skip


@pytest.fixture
def tool(capsys):
    """Calls the program; returns what it prints."""

    def call(*arguments):
        capsys.readouterr()
        app.call(compare, arguments)
        return capsys.readouterr().out

    return call


def equivalent(out):
    """Arguments of the command that the output says."""
    line = re.search('^Equivalent: (.*)$', out, re.M)[1]
    tfxfer, program, *arguments = shlex.split(line)
    assert (tfxfer, program) == ('tfxfer', 'sweep')
    return arguments


def test_a_comparison_ends_with_ranking_answer_and_report(
    tool, here, photographs, tmp_path
):
    root, workdir = photographs(count=20), tmp_path / 'runs'
    out = tool(root, *SMALL, f'--workdir={workdir}', '--seeds=0', '--jobs=1')
    looked, said, ranked = (
        out.index(part)
        for part in ('60 images of 3 classes', 'Equivalent: ', '### Ranking')
    )
    assert looked < said < ranked
    (record,) = [r for r in results.read_all(workdir) if r.run.setting == 'logistic']
    assert record.run.seed == 0 and record.run.dataset == f'folder:{root}'
    assert f'| {100 * record.score:.1f} ' in out
    study = section.of(results.read_all(workdir), folder=workdir)
    answer = text.write(study.cells, study.judged).first
    assert all(paragraph in out for paragraph in answer) and len(answer) > 0
    report = workdir / 'report.html'
    assert out.splitlines()[-1] == str(report)
    assert answer[0] in report.read_text().replace('&#39;', "'")
    # The same command finds all done.
    assert tool(root, *SMALL, f'--workdir={workdir}', '--seeds=0', '--jobs=1') == out


def test_another_folder_of_the_same_name_needs_a_workdir(
    tool, here, photographs, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    first, second = photographs(name='a/images'), photographs(name='b/images')
    run = {'arch': 'tiny', 'dataset': f'folder:{first}', 'setting': 'scratch'}
    results.write_run('runs/images', config.from_dict(run))
    for more in ((), ('--status',), ('--plan',)):
        with pytest.raises(errors.InputError, match='--workdir=runs/b-images '):
            tool(second, *SMALL, *more)
    with pytest.raises(errors.InputError, match='--workdir=runs/b-images '):
        tfxfer.compare(second)


def test_images_that_are_added_to_a_folder_are_said_to_be(
    tool, here, photographs, tmp_path, capsys
):
    root = photographs()
    (root / 'red/0.png').write_bytes(b'no image')  # It ends at the first look.
    run = {'arch': 'tiny', 'dataset': 'digits', 'setting': 'scratch'}
    results.write_run(tmp_path, config.from_dict(run))
    with pytest.raises(errors.InputError, match='cannot be read'):
        tool(root, *SMALL, f'--workdir={tmp_path}')
    assert f'{tmp_path} has results of digits too' in capsys.readouterr().out


@pytest.mark.exhaustive
def test_its_runs_are_the_sweeps_bit_for_bit(tool, here, photographs, tmp_path):
    root, workdir = photographs(name='my, images', count=20), tmp_path / 'runs'
    out = tool(
        root, *SMALL, f'--workdir={workdir}', '--seeds', '0,1', '--settings=scratch',
        '--config.scratch.steps=4', '--config.scratch.lrs=0.05', '--threads=1',
        '--config.scratch.wds=0.0', '--noretry_failed',
    )  # fmt: skip
    arguments = equivalent(out)
    assert '--threads=1' in arguments and '--noretry_failed' in arguments
    other = [f'--workdir={tmp_path / "other"}']
    app.call(sweep, [*arguments, *other])
    left = studies.left_by_runs(workdir)
    assert left == studies.left_by_runs(tmp_path / 'other')
    assert {name.split('-')[2] for name in left} == {'scratch'} and len(left) == 3
    study = (workdir / 'study.json').read_text()
    assert study == (tmp_path / 'other' / 'study.json').read_text()
    # In the same folder the sweep finds all done.
    before = {path: path.stat().st_mtime_ns for path in workdir.glob('*/record.json')}
    app.call(sweep, arguments)
    for path, time in before.items():
        assert path.stat().st_mtime_ns == time


def test_broken_files_are_all_named_before_the_error(tool, here, photographs, tmp_path):
    root = photographs(count=20)
    for name in ('red/0.png', 'blue/1.png'):
        (root / name).write_bytes(b'no image')
    flags = (root, *SMALL, f'--workdir={tmp_path / "w"}', '--seeds=0')
    with pytest.raises(errors.InputError, match='cannot be read .and 1 more'):
        tool(*flags)
    assert not list((tmp_path / 'w').glob('*-*'))
    out = tool(*flags, '--config.skip_broken', '--threads', '1')
    assert 'Broken files: 2' in out and '58 images' in out
    passed_on = equivalent(out)
    assert {'--config.skip_broken', '--threads'} < set(passed_on)
    assert passed_on[passed_on.index('--threads') + 1] == '1'


def test_it_looks_at_the_images_before_the_error(tool, photographs, tmp_path, capsys):
    root = photographs()
    (root / 'red/0.png').write_bytes(b'no image')
    with pytest.raises(errors.InputError):
        app.call(compare, [root, '--config.weights=/x', f'--workdir={tmp_path / "w"}'])
    assert '29 images of 3 classes' in capsys.readouterr().out


@pytest.mark.parametrize(
    'arguments, said',
    [
        ([], 'Say which images'),
        (['a', 'b'], 'got 2'),
        (['digits_5_8'], "Did you mean 'digits_5_9'"),
        (['digits', '--networks=resnet_51'], "Did you mean 'resnet_50'"),
        (['digits', '--settings=logistics'], "Did you mean 'logistic'"),
        (['digits', '--seeds=0,one'], '--seeds takes whole numbers'),
        (['digits', '--seeds=0,0'], 'something twice'),
        (['digits', '--config.archs=resnet_51'], "Did you mean 'resnet_50'"),
    ],
)
def test_bad_input_is_named_before_anything_starts(tool, tmp_path, arguments, said):
    with pytest.raises(errors.InputError, match=said):
        tool(*arguments, f'--workdir={tmp_path / "w"}')
    assert not (tmp_path / 'w').exists()


def test_weights_that_cannot_be_had_are_named_at_once(
    program, tmp_path, photographs, offline
):
    done = program(
        'tfxfer', 'compare', photographs(), '--networks=resnet_50,mobilenet_v1',
        f'--workdir={tmp_path / "w"}',
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert 'resnet50_weights_tf_dim_ordering_tf_kernels.h5' in line
    assert str(networks.keras_folder()) in line
    assert not (tmp_path / 'w').exists()


def test_plan_and_status_are_as_of_a_sweep(tool, tmp_path):
    flags = ('digits', '--networks=resnet_50', f'--workdir={tmp_path / "w"}')
    out = tool(*flags, '--plan', '--images_per_second=100')
    # 1797 images through the network once.
    assert studies.rows(out)['logistic final'] == ['1', '0', '0', '1,797', '0.0017']
    with pytest.raises(errors.InputError, match='No sweep has been started'):
        tool(*flags, '--status')
