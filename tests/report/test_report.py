import base64
import gc
import html
import html.parser
import io
import json
import math
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats as scipy_stats

from tests.conftest import ROOT
from tests.support import made_results as made
from tfxfer import errors, report, results
from tfxfer.analysis import cells


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
        self.open, self.tables, self.images, self.folded = [], [], [], []
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
            self.folded.append(('details' in self.open, dict(attrs)['alt']))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.tables and {'td', 'th'} & set(self.open):
            self.tables[-1][-1][-1] += data


def test_records_that_are_left_out_are_named_in_the_report(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'logistic', 80)
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'logistic', 90)
    folder = results.folder(tmp_path, record.run)
    shutil.copytree(folder, tmp_path / 'copy of it')
    cut_off = results.folder(tmp_path, made.run(made.NETWORKS[0], 'logistic'))
    (cut_off / 'record.json').write_text('{')
    page = report.write(tmp_path).read_text()
    assert 'copy of it' in page and str(cut_off / 'record.json') in page
    assert '90.0' in page and '80.0' not in page


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
    drawn = list((study / 'figures').glob('*.csv'))
    assert len(page.images) == len(drawn) >= 4
    for image in page.images:
        kind, data = image['src'].split(',')
        start = {'svg+xml': b'<?xml', 'png': b'\x89PNG'}
        kind = re.fullmatch('data:image/(.*);base64', kind)[1]
        assert base64.b64decode(data).startswith(start[kind])
        assert image['alt']
    ids = set(re.findall(r'id="([^"]+)"', text))
    anchors = re.findall(r'href="#([^"]+)"', text)
    assert len(anchors) == len(set(anchors)) >= 7 and set(anchors) < ids
    links = re.findall(r'(?:src="(?!data:)|href="(?!#))|url\(|@import|https?://', text)
    assert links == []


def test_figures_of_the_choice_are_folded_and_keep_their_room(study):
    text = (study / 'report.html').read_text()
    page = Page(text)
    folded = {title.partition(',')[0]: folds for folds, title in page.folded}
    assert not folded['Transfer accuracy against source accuracy']
    assert folded['Choice of l2']
    assert folded['Choice of learning rate and weight decay']
    for image in page.images:
        drawn = base64.b64decode(image['src'].partition(',')[2])
        if 'svg' in image['src'][:20]:
            size = re.search(rb'width="([\d.]+)pt" height="([\d.]+)pt"', drawn)
            inches = [float(side) / 72 for side in size.groups()]
        else:
            inches = [side / 120 for side in Image.open(io.BytesIO(drawn)).size]
        kept = [int(image['width']), int(image['height'])]
        assert kept == pytest.approx([96 * side for side in inches], abs=1)
        assert image['loading'] == 'lazy'
    assert '<summary>How each was chosen: 3 figures</summary>' in text


def test_of_many_datasets_the_answer_is_one_paragraph_and_the_tasks_are_folded(
    tmp_path,
):
    made.write_sources(tmp_path)
    for dataset in ('digits', 'pets', 'dtd', 'cars'):
        for arch, right in zip(made.NETWORKS, (70, 80, 90), strict=True):
            made.write_cell(tmp_path, arch, 'logistic', right, dataset=dataset)
    text = report.write(tmp_path).read_text()
    first = re.search(r'>The answer</h2>\n<p>(.+?)</p>', text)[1]
    assert first.startswith('Over 4 datasets, the highest mean log odds')
    folded = text.partition('<summary>Each of the 4 tasks</summary>')[2]
    folded = folded.partition('</details>')[0]
    assert re.findall('<p>On ([a-z]+),', folded) == ['cars', 'digits', 'dtd', 'pets']


def test_every_table_and_figure_lies_beside_the_page(study):
    names = {
        path.relative_to(study).as_posix()
        for path in study.rglob('*')
        if path.is_file() and not (path.parent / 'run.json').exists()
    }
    suffixes = {'tables': {'csv', 'md', 'tex'}, 'figures': {'csv', 'pdf', 'png'}}
    stems = {'tables': set(), 'figures': set()}
    for name in {name for name in names if '/' in name}:
        folder, name = name.split('/')
        stem, _, suffix = name.rpartition('.')
        assert suffix in suffixes[folder]
        stems[folder].add(stem)
        beside = {f'{folder}/{stem}.{s}' for s in suffixes[folder]}
        assert beside <= names
    tables = {'comparisons', 'correlations', 'wins', 'runs', 'sources'}
    figures = {
        'transfer_digits_0_4', 'l2_digits_5_9', 'grid_finetune_digits_5_9',
        'grid_scratch_digits_5_9',
    }  # fmt: skip
    assert tables <= stems['tables'] and figures <= stems['figures']
    assert {n for n in names if '/' not in n} == {
        'report.html', 'results.csv', 'results.md', 'results.tex',
    }  # fmt: skip


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
        unverified=('cifar-10-binary.tar.gz',),
    )
    results.write(tmp_path, record, made.predictions(50))
    text = report.write(tmp_path).read_text()
    assert f'{begun.id}: started, not finished.' in text
    assert f'{bad.id}: loss or gradient was not finite; it has no score.' in text
    assert f'{doubtful.id}: 3 broken images were skipped.' in text
    assert 'not their authors&#39; files: cifar-10-binary.tar.gz.' in text
    assert f'{doubtful.id}: lr = 0.1 is at the edge of the values tried' in text
    assert 'missing (trials done: 4)' in text
    assert (tmp_path / 'tables' / 'missing.csv').exists()


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


# A study of the quickstart's networks, run as it stands in tests/example_results (two
# networks, fewer steps; of the predictions without the features). What is expected is
# computed here from the files, by other libraries.

EXAMPLE = ROOT / 'tests/example_results'


def logit(p):
    return np.log(p / (1 - p))


def wilson(right):
    test = scipy_stats.binomtest(int(right.sum()), len(right))
    return tuple(test.proportion_ci(method='wilson'))


class Example:
    """The records as JSON, and which images each had right, by (network, setting)."""

    def __init__(self):
        self.records, self.right, self.trials = {}, {}, {}
        for path in sorted(EXAMPLE.glob('*/record.json')):
            record = json.loads(path.read_text())
            with np.load(path.parent / 'predictions.npz') as seen:
                order = np.argsort(seen['index'])
                right = (np.argmax(seen['logits'], axis=1) == seen['label'])[order]
            key = record['run']['arch'], record['run']['setting']
            if record['run']['phase'] == 'trial':
                self.trials[record['run']['id']] = record, right
            else:
                self.records[key], self.right[key] = record, right

    @property
    def finals(self):
        return [key for key in self.records if key[1] != 'pretrain']

    def seconds(self, key):
        trials = self.records[key]['run']['trials']
        behind = [self.records[key], *(self.trials[name][0] for name in trials)]
        return sum(record['seconds']['total'] for record in behind)


@pytest.fixture(scope='module')
def example():
    return Example()


@pytest.fixture(scope='module')
def example_folder(tmp_path_factory):
    return report.write(EXAMPLE, tmp_path_factory.mktemp('x') / 'report.html').parent


def test_the_example_is_of_real_runs_and_small_and_names_no_machine():
    files = [path for path in EXAMPLE.rglob('*') if path.is_file()]
    assert {f.name for f in files} == {'run.json', 'record.json', 'predictions.npz'}
    assert len(files) == 3 * 20
    assert sum(path.stat().st_size for path in files) < 400_000
    for path in EXAMPLE.glob('*/*.json'):
        assert not re.search(r'"/|/(home|root|tmp|work|Users)/', path.read_text())
        if path.name == 'record.json':
            assert json.loads(path.read_text())['versions']['host'] == 'host'


def test_the_examples_main_table_equals_its_files(example, example_folder):
    table = pd.read_csv(example_folder / 'results.csv').set_index('network')
    assert len(example.finals) == 6 and len(table) == 2
    for network, setting in example.finals:
        right, row = example.right[network, setting], table.loc[network]
        low, high = wilson(right)
        assert row[f'{setting}.score'] == pytest.approx(right.mean(), abs=1e-12)
        assert row[f'{setting}.low'] == pytest.approx(low, abs=1e-12)
        assert row[f'{setting}.high'] == pytest.approx(high, abs=1e-12)
        assert row['test_images'] == len(right) == 451
        source = example.right[network, 'pretrain'].mean()
        assert row['source_score'] == pytest.approx(source, abs=1e-12)
        key = network, setting
        assert row[f'{setting}.runs'] == 1 + len(example.records[key]['run']['trials'])
        assert row[f'{setting}.seconds'] == pytest.approx(example.seconds(key))


def test_the_examples_comparisons_are_counted_and_of_one_seed_untested(
    example, example_folder
):
    table = pd.read_csv(example_folder / 'tables/comparisons.csv')
    best = max(example.finals, key=lambda key: example.right[key].mean())
    expected = {}
    for key in example.finals:
        if key != best:
            a, b = example.right[best], example.right[key]
            only = int(np.sum(a & ~b)), int(np.sum(b & ~a))
            expected[', '.join(key)] = (*only, a.mean() - b.mean())
    assert set(table['best']) == {', '.join(best)}
    assert set(table['other']) == set(expected) and len(table) == 5
    rows = table.set_index('other')
    for other, values in expected.items():
        found = rows.loc[other, ['only_best_right', 'only_other_right', 'difference']]
        assert found.tolist() == pytest.approx(values, rel=1e-9)
    # Every cell has one seed of its subset: what another would change is not known.
    assert table['p'].isna().all() and table['p_adjusted'].isna().all()


def test_the_examples_wins_are_counted(example, example_folder):
    table = pd.read_csv(example_folder / 'tables/wins.csv')
    for row in table.to_dict('records'):
        differences = [
            example.right[network, row['setting']].mean()
            - example.right[network, row['against']].mean()
            for network in ('mobilenet_v1_0.25', 'mobilenet_v2_0.35')
        ]
        won, lost = (sum(np.sign(differences) == sign) for sign in (1, -1))
        assert (row['wins'], row['losses'], row['ties']) == (won, lost, 2 - won - lost)
        assert math.isnan(row['p']) and row['datasets'] == 1
    assert len(table) == 3


def test_the_examples_figures_equal_its_files(example, example_folder):
    folder = example_folder / 'figures'
    points = pd.read_csv(folder / 'transfer_digits_0_4_10.csv')
    points = points[points.kind == 'network'].set_index(['network', 'setting'])
    assert set(points.index) == set(example.finals)
    for key in example.finals:
        right = example.right[key]
        interval = wilson(right)
        source = example.right[key[0], 'pretrain'].mean()
        expected = logit(np.array([source, right.mean(), *interval]))
        found = points.loc[key, ['x', 'y', 'low', 'high']].astype(float)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    curves = pd.read_csv(folder / 'l2_digits_5_9_10.csv').set_index(['network', 'l2'])
    assert len(curves) == 2 * 45
    for network in ('mobilenet_v1_0.25', 'mobilenet_v2_0.35'):
        record = example.records[network, 'logistic']
        for point in record['curve']:
            row = curves.loc[(network, point['l2'])]
            assert row['valid_score'] == point['valid_score']
            assert row['chosen'] == (point['l2'] == record['chosen']['l2'])


@pytest.mark.parametrize(('setting', 'count'), [('finetune', 4), ('scratch', 2)])
def test_the_examples_grids_are_what_the_trials_had_right(
    example, example_folder, setting, count
):
    table = pd.read_csv(example_folder / f'figures/grid_{setting}_digits_5_9_10.csv')
    table = table.set_index(['network', 'lr', 'wd'])
    assert len(table) == 2 * count
    own = [
        pair for pair in example.trials.values() if pair[0]['run']['setting'] == setting
    ]
    for record, right in own:
        hparams = record['run']['hparams']
        row = table.loc[(record['run']['arch'], hparams['lr'], hparams['wd'])]
        assert row['valid_score'] == pytest.approx(right.mean(), abs=1e-12)
        final = example.records[record['run']['arch'], setting]
        assert row['chosen'] == all(
            hparams[k] == final['chosen'][k] for k in ('lr', 'wd')
        )


def test_output_takes_everything_with_it(study, tmp_path):
    path = report.write(study, tmp_path / 'new' / 'mine.html')
    assert path.read_bytes() == (study / 'report.html').read_bytes()
    assert sorted(p.name for p in path.parent.iterdir()) == [
        'figures', 'mine.html', 'results.csv', 'results.md', 'results.tex', 'tables',
    ]  # fmt: skip


def test_output_that_cannot_be_a_file_is_refused(study, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(errors.InputError, match='a part of it is a file'):
        report.write(study, tmp_path / 'file' / 'report.html')
    with pytest.raises(errors.InputError, match='is a folder; name a file in it'):
        report.write(study, tmp_path)


PUBLISHED = """dataset,network,setting,score,source_score
cars,a,finetune,90,70
pets,a,finetune,80,70
cars,b,finetune,91,75
pets,b,finetune,82,75
cars,c,finetune,94,80
pets,c,finetune,90,80
"""


@pytest.mark.parametrize('there', [True, False])
def test_published_results_are_drawn_alone(tmp_path, there):
    theirs, folder = tmp_path / 'theirs.csv', tmp_path / 'runs'
    theirs.write_text(PUBLISHED)
    if there:
        folder.mkdir()
    path = report.write(folder, tmp_path / 'out' / 'report.html', [theirs])
    page = Page(path.read_text())
    assert page.open == [] and page.images
    text = html.unescape(path.read_text())
    (answer,) = re.findall(r'>The answer</h2>\n<p>(.*)</p>', text)
    assert '6 published results of 3 networks on 2 datasets (theirs)' in answer
    assert 'Versions' not in text and 'What is missing' not in text
    assert folder.exists() == there and not (there and any(folder.iterdir()))


def test_published_results_stand_beside_ours(tmp_path):
    theirs = tmp_path / 'theirs.csv'
    theirs.write_text(PUBLISHED)
    more = tmp_path / 'more_finetuned.csv'
    more.write_text('network,pets\nd,0.97\n')
    made.write_sources(tmp_path / 'runs')
    for arch, right in zip(made.NETWORKS, (70, 80, 95), strict=True):
        made.write_cell(tmp_path / 'runs', arch, 'finetune', right, dataset='pets')
    plain = report.write(tmp_path / 'runs').read_text()
    text = report.write(tmp_path / 'runs', published=[theirs, more]).read_text()
    table = tmp_path / 'runs' / 'tables' / 'published.csv'
    assert 'more_finetuned' in table.read_text()
    # Theirs are in the page, and what it says of ours is the same.
    assert 'more_finetuned' in text and 'more_finetuned' not in plain
    assert Page(text).tables[0] == Page(plain).tables[0]
    # What is asked for no more is gone.
    assert report.write(tmp_path / 'runs').read_text() == plain
    assert not table.exists()


def test_published_results_that_cannot_be_read_are_named_before_the_work(tmp_path):
    theirs = tmp_path / 'theirs.csv'
    theirs.write_text(PUBLISHED.replace('cars,b', 'carz,b'))
    with pytest.raises(errors.InputError, match=r'theirs\.csv, line 4.*carz'):
        report.write(tmp_path / 'nope', published=[theirs])


def test_summary_is_the_main_table_and_what_is_missing(tmp_path):
    made.write_study(tmp_path, made.NETWORKS[:2], ('logistic',))
    made.write_cell(tmp_path, made.NETWORKS[0], 'finetune', 85)
    lines = report.summary(cells.read(tmp_path)).splitlines()
    assert any('86.0 (77.9-91.5)' in line and 'missing' in line for line in lines)
    assert lines[-1] == 'Not measured yet: 1.'


def test_the_collector_of_cycles_is_left_as_it_was(study, tmp_path):
    assert gc.isenabled() and gc.get_freeze_count() == 0
    report.write(study, tmp_path / 'report.html')
    assert gc.isenabled() and gc.get_freeze_count() == 0
    with pytest.raises(errors.InputError):
        report.write(tmp_path / 'nope')
    assert gc.isenabled() and gc.get_freeze_count() == 0


@pytest.mark.exhaustive
def test_killed_at_random_moments_it_leaves_whole_files_alone(program, tmp_path):
    done = program('tests.support.kills', 'report', EXAMPLE, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
