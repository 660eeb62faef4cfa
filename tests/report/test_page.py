"""The page's parts and templates, apart from what a report has to say."""

import configparser
import dataclasses
import fnmatch

import jinja2
import pandas as pd
import pytest

from tests.conftest import ROOT
from tfxfer.report import formats, page, rendering

EVIL = '</p><script>alert("1 & 2")</script>'


def table(title='A table', cell='x', note=''):
    frame = pd.DataFrame({'head': [cell]})
    return formats.Table('name', title, frame, frame, frozenset({(0, 'head')}), note)


def figure(title='A figure'):
    return page.Figure(title, 'What it shows.', 'image/png', 'AAAA', 96, 48)


def test_parts_are_shown_in_their_order_and_empty_sections_are_not():
    html = page.render(
        [
            page.Section('First', [page.Paragraph('one'), table(note='two')]),
            page.Section('Empty', []),
            page.Section('Second', [page.Bullets(['three', 'four']), figure()]),
        ]
    )
    places = [
        html.index(text)
        for text in ('First</h2>', '>one<', '>A table<', '>two<', 'Second</h2>',
                     '>three<', '>four<', '>A figure.<', '</html>')
    ]  # fmt: skip
    assert places == sorted(places)
    assert 'Empty' not in html


def test_every_text_is_escaped_wherever_it_stands():
    inner = [table(EVIL, EVIL, EVIL), page.Bullets([EVIL]), figure(EVIL)]
    html = page.render(
        [page.Section(EVIL, [page.Paragraph(EVIL), page.Fold(EVIL, inner)])]
    )
    assert html.count('<script>') == 1 == html.count('</script>')  # Our own.
    assert 'alert("' not in html
    # Title of the section, paragraph, summary, cell, note, item, alt and caption; the
    # table's title is the summary's and not repeated.
    assert html.count('alert(&#34;1 &amp; 2&#34;)') == 8


def test_facts_and_the_contents_are_escaped_too():
    facts = page.Facts([page.Fact(EVIL, EVIL)])
    html = page.render([page.Section(EVIL, [facts]), page.Section('Other', [facts])])
    assert html.count('<script>') == 1 == html.count('</script>')
    # Of the first section the title, twice; two facts of each section.
    assert html.count('alert(&#34;1 &amp; 2&#34;)') == 2 + 4
    assert 'id="p-script-alert-1-2-script"' in html


def test_the_card_comes_first_and_then_the_contents_of_the_rest():
    sections = [
        page.Section('Numbers', [page.Paragraph('one')]),
        page.Section('Empty', []),
        page.Section('More numbers', [page.Paragraph('two')]),
        page.Section('The answer', [page.Paragraph('this one')], card=True),
    ]
    html = page.render(sections)
    order = [
        html.index(text)
        for text in ('<section class="card">', '>this one<', '<nav', 'href="#numbers"',
                     'href="#more-numbers"', '</nav>', 'id="numbers"',
                     'id="more-numbers"')
    ]  # fmt: skip
    assert order == sorted(order)
    assert html.count('href=') == 2 and html.count('class="card"') == 1


def test_a_page_of_one_section_has_no_contents():
    html = page.render([page.Section('S', [page.Paragraph('x')])])
    assert '<nav' not in html


def test_figures_that_a_phone_can_show_whole_are_marked():
    html = page.render([page.Section('S', [figure()])])
    wide = dataclasses.replace(figure(), width=451)
    assert '<figure class="small">' in html
    assert '<figure>' in page.render([page.Section('S', [wide])])


def test_a_fold_is_open_where_it_is_told_to_be():
    folds = [
        page.Fold('closed', [page.Paragraph('x')]),
        page.Fold('open', [page.Paragraph('y')], open=True),
    ]
    html = page.render([page.Section('S', folds)])
    assert '<details><summary>closed' in html
    assert '<details open><summary>open' in html


def test_figures_are_counted_where_they_are_folded():
    assert page.folded_figures('More', []) == []
    assert page.folded_tables([]) == []
    (one,) = page.folded_figures('More', [figure()])
    (two,) = page.folded_figures('More', [figure(), figure()])
    assert (one.summary, two.summary) == ('More: 1 figure', 'More: 2 figures')


def test_style_and_script_stand_in_the_page_as_they_are():
    html = page.render([page.Section('S', [page.Paragraph('x')])])
    folder = ROOT / 'tfxfer/report/templates'
    for name in ('style.css', 'page.js'):
        assert (folder / name).read_text() in html


def test_a_template_refuses_to_go_without_a_value():
    with pytest.raises(jinja2.UndefinedError, match='table'):
        rendering.render('table.html')


def test_the_wheel_has_every_template():
    settings = configparser.ConfigParser()
    settings.read(ROOT / 'setup.cfg')
    pattern = settings['options.package_data']['tfxfer.report']
    folder = ROOT / 'tfxfer/report'
    names = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob('*')
        if path.is_file() and path.suffix not in ('.py', '.pyc')
    }
    assert len(names) >= 5 and names == set(fnmatch.filter(names, pattern))
