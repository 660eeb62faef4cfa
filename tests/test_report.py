import base64
import html.parser
import re
import shutil
import subprocess
import sys

import pytest

from tests import made_results as made
from tests.conftest import ROOT
from tfxfer import answers, cells, comparisons, config, report, results


@pytest.fixture(scope='module')
def study(tmp_path_factory):
    folder = made.write_study(tmp_path_factory.mktemp('study'))
    report.write(folder)
    return folder


class Page(html.parser.HTMLParser):
    """Tags that are open, tables as rows of texts, and sources of images."""

    VOID = ('meta', 'img')

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.images = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag == 'table':
            self.tables.append([])
        if tag == 'tr':
            self.tables[-1].append([])
        if tag in ('td', 'th'):
            self.tables[-1][-1].append('')
        if tag == 'img':
            self.images.append(dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.tables and {'td', 'th'} & set(self.open):
            self.tables[-1][-1][-1] += data


def answer(folder):
    found = cells.cells(cells.read(folder))
    paired, _ = comparisons.compare(found, folder)
    return answers.write(found, paired)


def test_the_answer_says_what_the_records_say(study):
    first, second = answer(study)
    assert first == (
        'On digits_5_9, mobilenet_v1_0.5 fine-tuned is best: 94.0 % (87.5-97.2, 95 % '
        'interval, n = 100 test images). '
        # 8 and 32 images right alone: 2 / 2^8 x 3 and 2 / 2^32 x 6 after Holm.
        'The same network with logistic regression on its features takes 1/13 of the '
        'time and loses 8.0 points (p = 0.023). '
        'The same network trained from scratch takes about as long and loses 32.0 '
        'points (p = 3e-09). '
        'The best of the other networks is mobilenet_v2_0.35 fine-tuned: 92.0 %; the '
        'difference of 2.0 points is not significant (exact McNemar p = 0.5, corrected '
        'for 8 comparisons). '
        'Not told apart from the best: mobilenet_v2_0.35, finetune; mobilenet_v2_0.35, '
        'logistic. The quickest of these, mobilenet_v2_0.35, logistic, took 1.0 s, the '
        'best 13 s.'
    )
    assert second == (
        '3 networks are too few to say whether accuracy on digits_0_4 predicts '
        'transfer accuracy.'
    )


def test_a_clear_difference_is_called_significant(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 90)
    made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 70)
    text = answer(tmp_path)[0]
    assert 'difference of 20.0 points is significant (exact McNemar p = 2e-06)' in text
    assert 'Not told apart' not in text


def test_one_cell_is_an_answer_too(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'logistic', 90)
    assert answer(tmp_path)[0] == (
        'On digits_5_9, only mobilenet_v1_0.25 with logistic regression on its '
        'features was measured: 90.0 % (82.6-94.5, 95 % interval, n = 100 test images).'
    )


def test_diverged_and_unfinished_studies_are_answered(tmp_path):
    made.write_sources(tmp_path)
    assert answer(tmp_path) == ['No Run has scored test images yet.']
    run = made.run(made.NETWORKS[0], 'scratch')
    results.write(tmp_path, made.record(run, 0.0, status='diverged'), {})
    assert 'every Run diverged' in answer(tmp_path)[0]
    assert report.write(tmp_path).exists()


def test_several_datasets_are_answered_one_by_one_and_together(tmp_path):
    made.write_sources(tmp_path)
    for arch, right in zip(made.NETWORKS, (70, 80, 90), strict=True):
        for dataset in ('digits', 'pets'):
            made.write_cell(tmp_path, arch, 'logistic', right, dataset=dataset)
    paragraphs = answer(tmp_path)
    assert paragraphs[0].startswith('On digits, mobilenet_v2_0.35')
    assert paragraphs[1].startswith('On pets, mobilenet_v2_0.35')
    assert paragraphs[2] == (
        'Highest mean log odds: logistic, over 2 datasets: mobilenet_v2_0.35 of 3 '
        'networks, its mean those of 90.0 %.'
    )


def test_the_reports_numbers_equal_the_records(study):
    page = Page((study / 'report.html').read_text())
    head, *rows = page.tables[0]
    shown = {
        (row[0], setting): row[head.index(f'{setting} %')].split()[0]
        for row in rows
        for setting in cells.SETTINGS
    }
    records = [
        record
        for record in results.read_all(study)
        if record.run.phase == 'final' and record.run.setting != 'pretrain'
    ]
    assert len(shown) == len(records) == 9
    for record in records:
        expected = f'{100 * record.score:.1f}'
        assert shown[record.run.arch, record.run.setting] == expected


def test_the_page_is_well_formed_and_holds_everything_itself(study):
    text = (study / 'report.html').read_text()
    page = Page(text)
    assert page.open == []
    assert len(page.images) == 4
    for image in page.images:
        kind, data = image['src'].split(',')
        assert kind == 'data:image/svg+xml;base64'
        assert base64.b64decode(data).startswith(b'<?xml')
        assert image['alt']
    links = re.findall(r'(?:src|href)="(?!data:)|url\(|@import|https?://', text)
    assert links == []


def test_every_table_and_figure_lies_beside_the_page(study):
    names = {
        path.relative_to(study).as_posix()
        for path in study.rglob('*')
        if path.is_file() and not (path.parent / 'run.json').exists()
    }
    tables = ('comparisons', 'correlations', 'wins', 'runs', 'sources')
    figures = (
        'transfer_digits_0_4', 'l2_digits_5_9', 'grid_finetune_digits_5_9',
        'grid_scratch_digits_5_9',
    )  # fmt: skip
    assert names == (
        {'report.html', 'results.csv', 'results.md', 'results.tex'}
        | {f'tables/{n}.{s}' for n in tables for s in ('csv', 'md', 'tex')}
        | {f'figures/{n}.{s}' for n in figures for s in ('csv', 'pdf', 'png')}
    )


def test_the_same_records_give_the_same_page(study, tmp_path):
    copy = tmp_path / 'copy'
    shutil.copytree(study, copy)
    path = report.write(copy)
    assert path.read_bytes() == (study / 'report.html').read_bytes()
    for name in ('results.csv', 'results.md', 'tables/comparisons.csv'):
        assert (copy / name).read_bytes() == (study / name).read_bytes()


def test_what_a_user_named_is_text_never_markup(tmp_path):
    name = 'folder:/x/<script>alert("1")</script>&amp;'
    for arch in made.NETWORKS[:2]:
        run = made.run(arch, 'logistic', dataset=name, dataset_digest='a' * 64)
        results.write(tmp_path, made.record(run, 0.5), made.predictions(50))
    text = report.write(tmp_path).read_text()
    assert text.count('<script>') == 1  # Our own.
    assert '&lt;/script&gt;&amp;amp;' in text
    assert '1 x &lt;CPU&gt; &amp; Co' in text


def test_what_is_missing_or_doubtful_is_said(tmp_path):
    made.write_study(tmp_path, made.NETWORKS[:2], ('logistic',))
    made.write_trials(tmp_path, made.NETWORKS[0], 'finetune')
    begun = made.run(made.NETWORKS[1], 'finetune')
    results.write_run(tmp_path, begun)
    bad = made.run(made.NETWORKS[0], 'scratch')
    results.write(tmp_path, made.record(bad, 0.0, status='diverged'), {})
    doubtful = made.run(made.NETWORKS[1], 'scratch')
    curve = tuple(
        {'lr': lr, 'wd': 0.0, 'valid_score': lr, 'status': 'done'}
        for lr in (0.001, 0.01, 0.1)
    )
    record = made.record(
        doubtful,
        0.5,
        curve=curve,
        chosen={'lr': 0.1, 'wd': 0.0},
        images={'train': 40, 'valid': 10, 'test': 100, 'skipped': 3},
    )
    results.write(tmp_path, record, made.predictions(50))
    text = report.write(tmp_path).read_text()
    assert f'{begun.id}: begun, not finished.' in text
    assert f'{bad.id}: the loss was not finite; it has no score.' in text
    assert f'{doubtful.id}: 3 broken images were left out.' in text
    assert f'{doubtful.id}: lr = 0.1 is at the edge of the values tried' in text
    assert 'missing (trials done: 4)' in text
    assert (tmp_path / 'tables' / 'missing.csv').exists()


def test_an_unsolved_regression_is_said(tmp_path):
    run = made.run(made.NETWORKS[0], 'logistic')
    curve = tuple(
        {'l2': l2, 'valid_score': 0.5, 'solved': l2 > 1e-3} for l2 in made.CURVE
    )
    results.write(tmp_path, made.record(run, 0.5, curve=curve), made.predictions(50))
    text = report.write(tmp_path).read_text()
    assert 'the solver stopped early at 1 of 3 values of l2, up to 0.001.' in text


def test_a_table_that_became_empty_is_removed(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'logistic', 80)
    made.write_cell(tmp_path, made.NETWORKS[0], 'finetune', 80)
    made.write_cell(tmp_path, made.NETWORKS[1], 'logistic', 80)
    report.write(tmp_path)
    assert (tmp_path / 'tables' / 'missing.csv').exists()
    made.write_cell(tmp_path, made.NETWORKS[1], 'finetune', 80)
    text = report.write(tmp_path).read_text()
    assert not (tmp_path / 'tables' / 'missing.csv').exists()
    assert '<p>Nothing.</p>' in text


def test_output_takes_everything_with_it(study, tmp_path):
    path = report.write(study, tmp_path / 'new' / 'mine.html')
    assert path.read_bytes() == (study / 'report.html').read_bytes()
    assert sorted(p.name for p in path.parent.iterdir()) == [
        'figures', 'mine.html', 'results.csv', 'results.md', 'results.tex', 'tables',
    ]  # fmt: skip


def test_output_that_cannot_be_a_file_is_refused(study, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(config.InputError, match='a part of it is a file'):
        report.write(study, tmp_path / 'file' / 'report.html')
    with pytest.raises(config.InputError, match='is a folder; name a file in it'):
        report.write(study, tmp_path)


def test_summary_is_the_main_table_and_what_is_missing(tmp_path):
    made.write_study(tmp_path, made.NETWORKS[:2], ('logistic',))
    made.write_cell(tmp_path, made.NETWORKS[0], 'finetune', 85)
    lines = report.summary(cells.read(tmp_path)).splitlines()
    assert any('86.0 (77.9-91.5)' in line and 'missing' in line for line in lines)
    assert lines[-1] == 'Not measured yet: 1.'


def test_the_program_prints_where_the_report_is_and_needs_no_tensorflow(
    study, tmp_path
):
    # Nor pyplot, which would keep every figure alive and look for a display.
    out = tmp_path / 'report.html'
    code = (
        'import atexit, runpy, sys\n'
        'def check():\n'
        '    names = {"tensorflow", "keras", "sklearn", "matplotlib.pyplot"}\n'
        '    print(names & set(sys.modules))\n'
        'atexit.register(check)\n'
        f'sys.argv = ["report", "--results={study}", "--output={out}"]\n'
        'runpy.run_module("tfxfer.report", run_name="__main__")\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(out), 'set()']
    assert out.exists()


@pytest.mark.parametrize('made_folder', [True, False])
def test_the_program_says_in_one_line_that_there_is_nothing(
    program, tmp_path, made_folder
):
    folder = tmp_path / 'empty'
    if made_folder:
        folder.mkdir()
    done = program('tfxfer.report', f'--results={folder}')
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert str(folder) in line
