import pytest

from tests.support import show
from tests.support.races import ARCHS, Clock, Executor, raced
from tfxfer import report
from tfxfer.analysis import cells, race_odds
from tfxfer.analysis import races as analysis_races
from tfxfer.report import race_text

ACCURACIES = dict(zip(ARCHS, (0.6, 0.7, 0.92, 0.93), strict=True))


@pytest.fixture
def race(monkeypatch, tmp_path):
    """A function: minutes -> the folder of a race that had so many."""

    def run(minutes, accuracies=ACCURACIES):
        with monkeypatch.context() as patch:
            executor = Executor(tmp_path, Clock(patch), accuracies)
            raced(tmp_path, executor, minutes)
        return tmp_path

    return run


def text(folder):
    return ' '.join(race_text.paragraphs(analysis_races.read(folder)))


def test_a_finished_race_has_its_table_its_figure_and_a_ranking_of_the_rest(race):
    folder = race(600)
    built, drawings = show.tables(cells.read(folder), folder=folder)
    shown = built['race'].shown.set_index('network')
    assert shown.loc['mobilenet_v1', 'measured on'] == '1/16 of the images'
    assert shown.loc['mobilenet_v1', 'left the race'].startswith('dropped, ')
    assert 'points below' in shown.loc['mobilenet_v1', 'why']
    assert shown.loc['resnet_50', 'measured on'] == 'all images'
    assert shown.loc['resnet_50', 'left the race'] == ''
    # The other tables are of the same test images, all of them.
    ranked = cells.cells(cells.read(folder))
    assert {cell.network for cell in ranked} == {'densenet_121', 'resnet_50'}
    assert {cell.test_images for cell in ranked} == {800}
    assert 'all that is still in is measured on all images' in text(folder)
    assert '2 networks were dropped on the way: mobilenet_v1, mobilenet_v2.' in text(
        folder
    )


def test_a_race_that_ended_early_names_the_few_and_the_odds(race):
    folder = race(3)
    raced = analysis_races.read(folder)
    names, chance = race_odds.likely(raced.chance)
    said = text(folder)
    assert set(names) <= {'densenet_121', 'resnet_50'} and 0.9 <= chance <= 1
    for name in names:
        assert name in said
    assert f'{100 * chance:.0f} %' in said or 'more than 99 %' in said
    assert 'The same command with more --minutes goes on from here.' in said
    # What the report compares is of one share, and says of which.
    share = raced.log.compared
    assert share < 1
    page = report.write(folder).read_text()
    assert f'with {analysis_races.named(share)}, for training and for testing' in page
    assert {c.share for c in cells.cells(cells.read(folder))} == {share}
    assert (folder / 'tables/race.csv').exists()
    assert (folder / 'figures/race.csv').exists()


def test_a_network_that_was_never_measured_is_named(race):
    folder = race(1)
    raced = analysis_races.read(folder)
    missing = raced.unseen()
    assert missing and not set(missing) & set(raced.last)
    assert f'Not measured, for lack of time: {", ".join(missing)}.' in text(folder)


def test_a_folder_without_a_race_has_no_such_section(study):
    built, drawings = show.tables(cells.read(study), folder=study)
    assert 'race' not in built
