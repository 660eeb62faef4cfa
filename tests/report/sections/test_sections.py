import re

import pandas as pd
import pytest

from tests.support import experiments, show
from tests.support import made_results as made
from tests.support.experiments import (
    PUBLISHED,
    SEEDS,
    pretrained,
    public_and_own,
    scaled,
)
from tfxfer import race_log, results
from tfxfer.analysis import cells
from tfxfer.report import figure_files, formats, sections


def test_names_list_every_table(tmp_path):
    race_log.change(tmp_path, shares=(1.0,), networks=made.NETWORKS)
    records = cells.read(made.write_study(tmp_path))
    records += made.study_records({'x': 0.7, 'y': 0.8}, ['cars', 'flowers'], points=1)
    records += experiments.sizes() + experiments.lengths()
    scores = {(0.0, 0.2): {'cars': 0.8}, (0.1, 0.2): {'cars': 0.7}}
    records += pretrained(scores)
    records += public_and_own(names=('cars', 'flowers'))
    built, _ = show.tables(records, PUBLISHED, tmp_path)
    assert tuple(built) == sections.TABLES


def test_lengths_of_training_do_not_spoil_the_other_tables():
    tops = {'a': 0.7, 'b': 0.75, 'c': 0.8}
    records = [
        made.final(n, 'finetune', top, hparams={'steps': steps}, source_score=top)
        for n, top in tops.items()
        for steps in ((20_000, 100) if n == 'a' else (20_000,))
    ]
    built, _ = show.tables(records)
    assert built['scores_finetune'].shown['pets %'].tolist() == ['70.0', '75.0', '80.0']
    assert built['correlations'].frame.r.tolist() == pytest.approx([1])


def test_every_format_takes_every_table(tmp_path):
    records = made.study_records({'x': 0.7, 'y': 0.8}, ['dtd', 'pets'], points=1)
    records += experiments.sizes() + experiments.lengths()
    scores = {(0.0, 0.2): {'cars': 0.8}, (0.1, 0.2): {'cars': 0.7}}
    records += pretrained(scores)
    records += scaled(SEEDS)
    records += public_and_own()
    built, _ = show.tables(records, PUBLISHED)
    formats.write(built.values(), tmp_path, tuple(formats.FORMATS))
    for table in built.values():
        read = pd.read_parquet(tmp_path / f'{table.name}.parquet')
        text = pd.read_csv(tmp_path / f'{table.name}.csv')
        pd.testing.assert_frame_equal(
            read.astype(object).fillna(0).astype(str).replace({'': '0', 'None': '0'}),
            table.frame.astype(object)
            .fillna(0)
            .astype(str)
            .replace({'': '0', 'None': '0'}),
        )
        assert len(text) == len(read) == len(table.shown)


def test_a_study_has_one_figure_a_question(drawings):
    assert sorted(drawings) == [
        'cost_digits_5_9',
        'grid_finetune_digits_5_9',
        'grid_scratch_digits_5_9',
        'l2_digits_5_9',
        'ranking_digits_5_9',
        'settings',
        'transfer_digits_0_4',
    ]


def test_nothing_that_is_written_overlaps(drawings, tmp_path):
    crowded = show.draw_networks(tmp_path, 16)
    show.assert_nothing_overlaps([*drawings.values(), crowded])


def test_figures_of_datasets_and_experiments_do_not_overlap(whole):
    show.assert_nothing_overlaps(whole.values())
    drawn = show.drawn(experiments.sizes() + experiments.lengths())
    assert {'dataset_size', 'convergence'} < set(drawn)
    show.assert_nothing_overlaps(drawn.values())


def test_the_same_records_give_the_same_bytes(tmp_path):
    study = made.write_study(tmp_path / 'study')
    texts = []
    for name in 'ab':
        drawn = show.drawings(cells.read(study))
        paths = figure_files.save(drawn, tmp_path / name)
        files = [path.read_bytes() for path in paths]
        texts.append(files + [figure_files.svg(drawing) for drawing in drawn])
    assert texts[0] == texts[1]


def test_file_names_are_safe_and_differ(tmp_path):
    for i, name in enumerate(('folder:/x/a b', 'folder:/x/a+b')):
        run = made.run(
            made.NETWORKS[0], 'logistic', dataset=name, dataset_digest=str(i) * 64
        )
        results.write(tmp_path, made.record(run, 0.5), made.predictions(50))
    names = [drawing.name for drawing in show.drawings(cells.read(tmp_path))]
    assert len(set(names)) == len(names) == 3
    assert all(re.fullmatch(r'[\w.-]+', name) for name in names)
