import pytest

from tests.support import made_results as made
from tfxfer.analysis import verdicts
from tfxfer.report import section, sections, style


def test_what_sections_share_is_computed_once():
    study, calls = section.of([made.final('a', 'scratch', 0.5)]), []

    def count(given):
        calls.append(given)
        return len(given.cells)

    assert [study.once(count), study.once(count)] == [1, 1]
    assert calls == [study]


def test_without_a_folder_no_predictions_are_read(study, monkeypatch):
    monkeypatch.setattr(verdicts, 'verdicts', None)
    records = [made.final('a', 'scratch', 0.5), made.final('b', 'scratch', 0.6)]
    assert section.of(records).judged == []
    with pytest.raises(TypeError):
        section.of(records, folder=study)


def test_figures_of_one_name_are_numbered(monkeypatch):
    drawing = style.Drawing('a', 'detail', '', None, None, '')
    twice = section.Section(drawings=lambda study: (drawing, drawing))
    monkeypatch.setattr(sections, 'SECTIONS', (twice,))
    assert [d.name for d in sections.drawings(section.of([]))] == ['a', 'a_2']


def test_a_note_is_said_once(monkeypatch):
    one = section.Section(notes=lambda study: ('x', 'y', 'x'))
    monkeypatch.setattr(sections, 'SECTIONS', (one, one))
    assert sections.notes(section.of([])) == ['x', 'y']


def test_a_section_fills_the_tables_that_it_names():
    records = made.study_records({'x': 0.7, 'y': 0.8}, ['dtd', 'pets'], points=1)
    study = section.of(records)
    for one in sections.SECTIONS:
        assert {table.name for table in one.tables(study)} <= set(one.names)
