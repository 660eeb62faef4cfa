"""README, docs, licence and citation: complete, true to the tree, and plain."""

import collections
import hashlib
import importlib
import re

import pytest
import yaml
from absl import flags

import tfxfer
from tests.support import pages
from tfxfer.cli import app

ROOT = pages.ROOT
# Phrases that a newcomer had to read twice, or words that are not the field's.
BANNED = (
    r'are with others',
    r'in living hands',
    r'images a class',
    r'points less',
    r'can be had nowhere',
    r'\bwishes\b',
    r'\bfacts\b',
    r'\baside\b',
    r'\bat hand\b',
    r'\bdraws\b',
    r'\ba processor\b',
    r'\b(columns?|figures?|images|lines?|networks?|rows?|Runs|steps) a '
    r'(class|dataset|device|GPU|network|Run|step)\b',
)


def test_the_readme_is_short():
    assert len((ROOT / 'README.md').read_text().splitlines()) <= 150


@pytest.mark.parametrize('page', pages.PAGES, ids=pages.name_of)
def test_links_within_the_project_lead_somewhere(page):
    for target in re.findall(r'\]\(([^)\s]+)\)', page.read_text()):
        if '://' in target:
            continue
        path, _, anchor = target.partition('#')
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert linked.is_relative_to(ROOT), target
        if anchor:
            assert anchor in pages.anchors(linked.read_text()), target


@pytest.mark.parametrize(
    'page',
    [page for page in pages.PAGES if page.stem != 'CHANGELOG'],
    ids=pages.name_of,
)
def test_files_of_the_project_that_a_page_names_exist(page):
    text = re.sub('^```.*?^```$', '', page.read_text(), flags=re.M | re.S)
    folders = r'`((?:configs|docs|tests|tfxfer|tools)/[\w./-]*)`'
    assert not [
        name for name in re.findall(folders, text) if not (ROOT / name).exists()
    ]
    modules = re.findall(r'`(?:python -m )?(tfxfer|tools)\.([a-z]\w*)', text)
    assert not [
        (package, name)
        for package, name in modules
        if not any((ROOT / package).glob(f'{name}*')) and name not in tfxfer.__all__
    ]


def test_files_that_the_architecture_tells_of_exist():
    text = re.sub(
        '```.*?```', '', (ROOT / 'docs/architecture.md').read_text(), flags=re.S
    )
    names = re.findall(r'`((?!tests/)(?:\w+/)?\w+\.py)`', text)
    assert names
    assert not [name for name in names if not (ROOT / 'tfxfer' / name).exists()]


def test_every_page_is_linked_from_the_readme_or_another_page():
    linked = {
        (page.parent / target.partition('#')[0]).resolve()
        for page in pages.PAGES
        for target in re.findall(r'\]\(([^)\s:]+)\)', page.read_text())
    }
    assert not {*pages.PAGES} - linked - {ROOT / 'README.md'}


@pytest.mark.parametrize('page', pages.PAGES, ids=pages.name_of)
def test_pages_avoid_phrases_that_have_to_be_read_twice(page):
    text = ' '.join(pages.without_code(page.read_text()).split())
    assert not [phrase for phrase in BANNED if re.search(phrase, text, re.I)]


PROGRAMS = sorted(
    path.stem
    for path in (ROOT / 'tfxfer/cli').glob('[!_]*.py')
    if '\ndef define_flags' in path.read_text()
)


@pytest.mark.parametrize('name', PROGRAMS)
def test_help_avoids_phrases_that_have_to_be_read_twice(name):
    program = importlib.import_module(f'tfxfer.cli.{name}')
    given = program.define_flags(flags.FlagValues())
    text = ' '.join(app.describe_program(program, given).split())
    assert not [phrase for phrase in BANNED if re.search(phrase, text, re.I)]


def test_the_licence_is_the_apache_licence_unchanged():
    # Of https://www.apache.org/licenses/LICENSE-2.0.txt.
    digest = 'cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30'
    assert hashlib.sha256((ROOT / 'LICENSE').read_bytes()).hexdigest() == digest


def test_the_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['cff-version'] == '1.2.0'
    assert citation['version'] == tfxfer.__version__
    assert citation['license'] == 'Apache-2.0'
    assert {'message', 'title', 'authors'} <= set(citation)  # Required by CFF.
    paper = citation['preferred-citation']
    assert {'type', 'title', 'authors', 'year'} <= set(paper)
    names = [author['family-names'] for author in paper['authors']]
    assert names == ['Kornblith', 'Shlens', 'Le']
    assert '1805.08974' in paper['url']


def listed(text):
    """Paths that an indented tree names: folders end with /, files with a suffix."""
    folders = {}
    for line in text.splitlines():
        match = re.match(r'( *)([\w.\-]+(?:/|\.\w+))(?:  |$)', line)
        if match is None:
            continue
        depth, name = len(match[1]), match[2]
        folders = {d: folder for d, folder in folders.items() if d < depth}
        path = ''.join(folders.values()) + name
        if name.endswith('/'):
            folders[depth] = name
        else:
            yield path


def test_the_architecture_names_every_module_exactly_once():
    text = (ROOT / 'docs/architecture.md').read_text()
    trees = [content for language, content in pages.blocks(text) if language == 'text']
    named = collections.Counter(path for tree in trees for path in listed(tree))
    assert not [path for path, count in named.items() if count > 1]
    there = {
        str(path.relative_to(ROOT))
        for folder, suffixes in (
            ('configs', ('.py',)),
            ('tfxfer', ('.py',)),
            ('tools', ('.py', '.sh')),
        )
        for path in (ROOT / folder).rglob('*')
        if path.suffix in suffixes
        # The line of a package is also that of its __init__.
        if path.name != '__init__.py'
    }
    assert set(named) == there
