import json

import pytest
from PIL import Image

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


def test_files_that_are_not_read_are_counted(exported, tmp_path, capsys):
    """What phones and cameras leave; images by content where the name says nothing."""
    folder = tmp_path / 'phone'
    folder.mkdir()
    image = Image.new('RGB', (20, 24), 'red')
    for name, form in (
        ('a.jpg', 'JPEG'), ('b.jpe', 'JPEG'), ('scan', 'JPEG'), ('shot', 'PNG'),
        ('c.JPG', 'JPEG'), ('d.avif', 'AVIF'), ('drawn', 'WEBP'),
    ):  # fmt: skip
        image.save(folder / name, format=form)
    (folder / 'IMG_1.HEIC').write_bytes(b'\0\0\0\x18ftypheic' + bytes(200))
    (folder / 'IMG_2.heic').write_bytes(b'\0\0\0\x18ftypheic' + bytes(200))
    (folder / 'notes').write_text('no image')
    app.call(predict_images, [folder, f'--model={exported[False]}', '--top=1'])
    printed, said = capsys.readouterr()
    names = [text.partition(': ')[0] for text in printed.splitlines()]
    expected = ('a.jpg', 'b.jpe', 'c.JPG', 'd.avif', 'drawn', 'scan', 'shot')
    assert names == [str(folder / name) for name in expected]
    assert said == 'Files of formats that are not read: 2 .heic, 1 no suffix.\n'


def test_names_cannot_command_the_terminal(exported, tmp_path, capsys):
    image = Image.new('RGB', (20, 24), 'red')
    image.save(tmp_path / 'a\n\x1b[2Jb.png')
    app.call(predict_images, [tmp_path, f'--model={exported[False]}'])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f'{tmp_path}/a\\n\\x1b[2Jb.png: ')
