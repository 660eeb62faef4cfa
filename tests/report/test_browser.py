"""The report as Chromium shows it; skipped where there is no Chromium."""

import html
import json
import re
import shutil
import subprocess

import pytest

from tests.conftest import ROOT
from tfxfer import report

CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))),
    None,
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason='there is no Chromium'),
]

# Written into a copy of the page. It opens what is folded, waits for the figures, and
# says what it finds: in the page, or to the page whose frame it is in.
PROBE = """
<script>
addEventListener('load', async () => {
  const all = selector => [...document.querySelectorAll(selector)];
  const lazy = all('details img').map(image => image.loading);
  for (const fold of all('details')) fold.open = true;
  for (const image of all('img')) {
    image.loading = 'eager';
    // Not decode(): it takes real time, which the virtual clock does not wait for.
    if (!image.complete) await new Promise(end => image.onload = image.onerror = end);
  }
  const facts = {
    lazy,
    folds: all('details').length,
    images: all('img').map(image => [image.naturalWidth, image.naturalHeight]),
    viewport: innerWidth,
    scroll: document.documentElement.scrollWidth,
    boxes: all('.wide').map(box => [box.clientWidth, box.scrollWidth]),
    page: getComputedStyle(document.body).backgroundColor,
    text: getComputedStyle(document.body).color,
    figure: getComputedStyle(document.querySelector('img')).backgroundColor,
    dark: matchMedia('(prefers-color-scheme: dark)').matches,
    tables: all('table').map(table => [...table.tHead.rows[0].cells].map((head, i) => {
      const column = () => [...table.tBodies[0].rows].map(r => r.cells[i].textContent);
      const seen = [head.textContent, column()];
      for (let click = 0; click < 2; click++) {
        head.click();
        seen.push([head.getAttribute('aria-sort'), column()]);
      }
      return seen;
    })),
  };
  const text = JSON.stringify(facts);
  if (parent !== window) parent.postMessage(text, '*');
  else document.body.dataset.facts = text;
});
</script>
"""

# Chromium's window is never narrower than 500 pixels; a frame is as narrow as it is
# told, and to the page in it that is the viewport.
NARROW = """<!DOCTYPE html><html><body>
<script>addEventListener('message', e => { document.body.dataset.facts = e.data; });
</script><iframe src="page.html" width="360" height="800" frameborder="0"></iframe>
</body></html>"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A report of the example Runs with the probe in it, and a narrow frame of it."""
    folder = tmp_path_factory.mktemp('browser')
    page = report.write(ROOT / 'tests/example_results', folder / 'report.html')
    text = page.read_text()
    assert text.count('</body>') == 1
    (folder / 'page.html').write_text(text.replace('</body>', f'{PROBE}</body>'))
    (folder / 'narrow.html').write_text(NARROW)
    return folder


def shown(path, *options):
    """(facts that the probe found, lines of the console) of a page in Chromium."""
    done = subprocess.run(
        [
            CHROMIUM, '--headless', '--no-sandbox', '--use-angle=swiftshader',
            '--enable-unsafe-swiftshader', '--virtual-time-budget=40000',
            f'--user-data-dir={path.parent / "profile"}', '--enable-logging=stderr',
            '--v=0', '--dump-dom', *options, path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=110,
    )  # fmt: skip
    found = re.search(r'<body[^>]* data-facts="([^"]*)"', done.stdout)
    assert found, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if 'CONSOLE' in line]
    return json.loads(html.unescape(found[1])), console


@pytest.fixture(scope='module')
def wide(folder):
    return shown(folder / 'page.html', '--window-size=1280,900')


@pytest.fixture(scope='module')
def dark(folder):
    scheme = '--blink-settings=preferredColorScheme=0'
    return shown(folder / 'page.html', '--window-size=1280,900', scheme)


@pytest.fixture(scope='module')
def phone(folder):
    return shown(folder / 'narrow.html', '--window-size=900,900')


def test_the_console_is_silent(wide, dark, phone):
    assert [wide[1], dark[1], phone[1]] == [[], [], []]


def test_an_error_in_the_page_would_be_seen(folder):
    broken = (folder / 'page.html').read_text().replace('UNIT[', 'undefined_unit[')
    (folder / 'broken.html').write_text(broken)
    _, console = shown(folder / 'broken.html')
    assert any('undefined_unit is not defined' in line for line in console)


def test_every_figure_is_drawn(wide, phone):
    for facts, _ in (wide, phone):
        # Accuracy, l2 curves and two grids at least.
        assert len(facts['images']) >= 4
        assert all(width > 0 and height > 0 for width, height in facts['images'])
    facts, _ = wide
    assert facts['folds'] >= 1 and set(facts['lazy']) == {'lazy'}


UNITS = {'s': 1, 'min': 60, 'h': 3600, 'd': 86400}


def number(text):
    """What a cell counts: its first number, a duration in seconds; or None."""
    found = re.match(r'\s*([-+]?\d*\.?\d+(?:e[-+]?\d+)?)(?: (\w+))?', text)
    return float(found[1]) * UNITS.get(found[2], 1) if found else None


def test_a_click_on_a_head_sorts_and_another_turns_it_round(wide):
    facts, _ = wide
    sorted_as = set()
    for table in facts['tables']:
        for head, before, (first, once), (second, twice) in table:
            values = [number(text) for text in before]
            if None not in values:
                sorted_as.add('numbers')
                assert (first, second) == ('descending', 'ascending')
                assert [number(text) for text in once] == sorted(values)[::-1], head
                assert [number(text) for text in twice] == sorted(values), head
            elif not any(value is not None for value in values):
                sorted_as.add('texts')
                assert (first, second) == ('ascending', 'descending')
                assert once == sorted(before) and twice == sorted(before)[::-1], head
            assert sorted(once) == sorted(before)
    assert sorted_as == {'numbers', 'texts'}


def test_on_a_phone_tables_scroll_and_the_page_does_not(phone):
    facts, _ = phone
    assert facts['viewport'] == 360
    assert facts['scroll'] <= 360
    assert all(own <= 360 for own, _ in facts['boxes'])
    assert any(inside > own + 50 for own, inside in facts['boxes'])


def test_the_page_follows_the_dark_scheme_and_figures_stay_on_white(wide, dark):
    (light, _), (night, _) = wide, dark
    assert (light['dark'], night['dark']) == (False, True)

    def luminance(colour):
        return sum(map(int, re.findall(r'\d+', colour)[:3])) / (3 * 255)

    assert luminance(light['page']) > 0.9 > 0.2 > luminance(light['text'])
    assert luminance(night['page']) < 0.2 < 0.8 < luminance(night['text'])
    # Their lines and texts are dark.
    assert luminance(light['figure']) == luminance(night['figure']) == 1
