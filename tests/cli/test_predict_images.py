import json

import pytest

from tests.support.exported import CLASSES
from tfxfer import errors
from tfxfer.cli import app, predict_images


@pytest.mark.slow
def test_program_predicts_the_rest_and_names_what_is_broken(
    exported, photographs, program, tmp_path
):
    root = photographs(count=6)
    (root / 'red' / '2.png').write_bytes(b'broken')
    (tmp_path / 'nothing').mkdir()
    done = program(
        'tfxfer.predict_images', root, tmp_path / 'gone.jpg', tmp_path / 'nothing',
        '--json', f'--model={exported[True]}',
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    rows = [json.loads(text) for text in done.stdout.splitlines()]
    assert len(rows) == 17 and rows[0]['path'] == str(root / 'blue' / '0.png')
    for row in rows:
        assert sorted(row['classes']) == sorted(CLASSES)
        named = zip(row['classes'], row['probabilities'], strict=True)
        assert row['present'] == [name for name, p in named if p > 0.5]
    said = [text for text in done.stderr.splitlines() if text.startswith('error:')]
    assert len(said) == 4 and 'Traceback' not in done.stderr
    for error, name in zip(
        said, ('nothing', 'red/2.png', 'gone.jpg', '3 files'), strict=True
    ):
        assert name in error


@pytest.mark.parametrize(
    'arguments, said',
    [
        (['--model=nowhere', 'README.md'], "'nowhere' holds no model"),
        (['--model=nowhere'], 'No image: name files or folders'),
        (['--model=nowhere', 'configs'], 'No image in configs'),
        (['README.md'], 'Say which model: --model=DIR'),
    ],
)
def test_what_is_missing_is_named(arguments, said):
    with pytest.raises(errors.InputError, match=said):
        app.call(predict_images, arguments)


def test_lines_are_for_people(exported, photographs, capsys):
    root = photographs(count=1)
    path = root / 'red' / '0.png'
    app.call(predict_images, [path, f'--model={exported[False]}', '--top=1'])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f'{path}: ') and line.count('%') == 1
