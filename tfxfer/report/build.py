"""The report of a results folder: what the page says, in order."""

import base64
import collections
import contextlib
import gc
import html
import math
import pathlib

from tfxfer import errors, storage
from tfxfer.analysis import cells, comparisons, stats
from tfxfer.analysis import published as published_results
from tfxfer.report import formats, plots, section, sections
from tfxfer.report import text as text_of
from tfxfer.report.sections import results as main_results


def write(results_dir, output=None, published=()):
    """Writes report, tables and figures; returns the path of the report.

    Args:
        results_dir: folder of all Runs' folders.
        output: path of the .html; report.html in results_dir if not given. Tables and
            figures go beside it.
        published: paths of CSV files of published results, see published.read. With
            them results_dir may be without Records, or not be there; then there must
            be an output.

    Raises:
        errors.InputError: no folder, no Record or one that cannot be read; a file of
            published results that cannot be read; a folder that cannot be made.
    """
    try:
        return _write(results_dir, output, published)
    finally:
        gc.unfreeze()


def _write(results_dir, output, published):
    given = [one for path in published for one in published_results.read(path)]
    records = _read(results_dir, output, given)
    output = pathlib.Path(output or pathlib.Path(results_dir) / 'report.html')
    storage.writable(output.parent)
    if output.is_dir():
        raise errors.InputError(
            f'--output={str(output)!r} is a folder; name a file in it, such as '
            f'{str(output / "report.html")!r}.'
        )
    study = section.of(records, given, results_dir if records else None)
    built, drawings = sections.tables(study), sections.drawings(study)
    main = sections.TABLES[0]
    formats.write([t for t in built if t.name == main], output.parent)
    formats.write([t for t in built if t.name != main], output.parent / 'tables')
    for name in set(sections.TABLES) - {table.name for table in built}:
        for suffix in formats.FORMATS:  # From when there was something to say.
            (output.parent / 'tables' / f'{name}.{suffix}').unlink(missing_ok=True)
    plots.save(drawings, output.parent / 'figures')
    with storage.replacing(output) as aside:
        found = study.cells
        gaps = [
            *sections.notes(study),
            *_offers(found),
            *_warnings(records),
            *_unfinished(results_dir),
        ]
        paired, _ = study.compared
        answer = text_of.write(found, paired) if records else _published_alone(given)
        images = output.parent / 'figures'
        text = page(records, found, answer, built, drawings, gaps, images)
        aside.write_text(text, encoding='utf-8', newline='\n')
    return output


def _read(results_dir, output, given):
    """The Records; none if results are given and the folder has none."""
    if not given or any(pathlib.Path(results_dir).glob('*/record.json')):
        with _lasting():
            return cells.read(results_dir)
    if output is None:
        raise errors.InputError(
            f'{str(results_dir)!r} holds no finished Run. To draw the published '
            'results alone, say where to: --output=theirs/report.html.'
        )
    return []


@contextlib.contextmanager
def _lasting():
    """What is made in the block is not searched for cycles until `gc.unfreeze`.

    A study's Records are millions of small objects, and none is garbage; looking
    through them again and again takes a fifth of a report's time.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was:
            gc.enable()


def _published_alone(given):
    """What is shown where there is no Record, as an text_of.Answer."""
    counts = [
        f'{len(set(names))} {kind}{"s" if len(set(names)) > 1 else ""}'
        for kind, names in (
            ('network', [one.network for one in given]),
            ('dataset', [one.dataset for one in given]),
        )
    ]
    labels = ', '.join(sorted({one.label for one in given}))
    text = f'No Run of your own is shown. {len(given)} published results of '
    return text_of.Answer((f'{text}{" on ".join(counts)} ({labels}) are.',))


def summary(records):
    """The main table as text, and what is missing."""
    study = section.of(records)
    text = formats.md(main_results.main_table(study.cells, study.missing))
    gaps = study.missing
    return f'{text}\nNot measured yet: {len(gaps)}.\n' if gaps else text


def page(records, found, answer, built, drawings, gaps, images):
    """The report as HTML; everything it shows is in it.

    Args:
        records: all Records.
        found: their Cells.
        answer: text_of.Answer.
        built: Tables.
        drawings: Drawings.
        gaps: sentences about what is missing or less sure than it looks.
        images: folder where plots.save has put the drawings.
    """
    named = {table.name: table for table in built}
    numbers = [table for table in built if table.name not in (*_CHOSEN, 'missing')]
    runs = [named[name] for name in _CHOSEN if name in named]
    drawn = {
        subject: [_drawn(d, images) for d in drawings if d.subject == subject]
        for subject in ('transfer', 'comparison', 'experiment')
    }
    body = [
        _section('The answer', *_answered(answer)),
        _section('Transfer and source accuracy', *drawn['transfer']),
        _section('Settings compared', *drawn['comparison']),
        _section('What else was varied', *drawn['experiment']),
        _section('Numbers', *map(_titled, numbers)),
        _section(
            'Chosen hyperparameters',
            *map(_titled, runs),
            *_folded('How each was chosen', _of(drawings, 'choice'), images),
        ),
        _section('Details', *_folded('More figures', _of(drawings, 'detail'), images)),
        _section('How each number was made', *map(_paragraph, methods(records, found))),
        _section('What is missing', *_gaps(named.get('missing'), gaps, records)),
        _section('Versions', *_versions(records)),
    ]
    return _PAGE.format(style=_STYLE, body=''.join(body), script=_SCRIPT)


_CHOSEN = ('runs', 'sources')  # Tables that stand beside the figures of the choice.


def _section(title, *parts):
    if not parts:
        return ''
    return f'<section>\n<h2>{html.escape(title)}</h2>\n{"".join(parts)}</section>\n'


def _details(summary, *parts):
    return (
        f'<details><summary>{html.escape(summary)}</summary>\n{"".join(parts)}'
        '</details>\n'
    )


def _paragraph(text):
    return f'<p>{html.escape(text)}</p>\n'


def _answered(answer):
    yield from map(_paragraph, answer.first)
    if answer.tasks:
        summary = f'Each of the {len(answer.tasks)} tasks'
        yield _details(summary, *map(_paragraph, answer.tasks))


def _titled(table):
    return f'<h3>{html.escape(table.title)}</h3>\n{formats.html(table)}'


def _of(drawings, subject):
    return [drawing for drawing in drawings if drawing.subject == subject]


def _folded(summary, drawings, images):
    """The figures behind one click; nothing of none."""
    if drawings:
        count = f'{len(drawings)} figure{"s" if len(drawings) > 1 else ""}'
        yield _details(f'{summary}: {count}', *(_drawn(d, images) for d in drawings))


def _drawn(drawing, images):
    if drawing.subject in plots.RASTER:  # Many, and of pixels: they are drawn once.
        kind, data = 'png', (images / f'{drawing.name}.png').read_bytes()
    else:
        kind, data = 'svg+xml', plots.svg(drawing).encode()
    data = base64.b64encode(data).decode()
    # Room is kept for it, and it is decoded when it comes into sight.
    width, height = 96 * drawing.figure.get_size_inches()
    title, caption = html.escape(drawing.title), html.escape(drawing.caption)
    return (
        f'<figure>\n<div class="wide"><img alt="{title}" width="{width:.0f}" '
        f'height="{height:.0f}" loading="lazy" decoding="async" '
        f'src="data:image/{kind};base64,{data}"></div>\n'
        f'<figcaption><b>{title}.</b> {caption}</figcaption>\n</figure>\n'
    )


def methods(records, found):
    """How the numbers that occur were made, a paragraph each; found: Cells."""
    runs = [record.run for cell in found for record in cell.records]
    said = {'logistic': _logistic, 'finetune': _trained, 'scratch': _trained}
    paragraphs = [
        said[setting](setting, [run for run in runs if run.setting == setting])
        for setting in cells.SETTINGS
        if any(run.setting == setting for run in runs)
    ]
    pretrain = [r.run for r in records if r.run.setting == 'pretrain']
    if pretrain:
        paragraphs.append(_trained('pretrain', pretrain))
    if found:
        paragraphs.append(
            'Every choice was made on validation images; the chosen values were then '
            'fitted on train + validation, and the test images scored once.'
        )
    metrics = sorted({cell.metric for cell in found})
    if metrics:
        names = ', '.join(formats.METRICS[name] for name in metrics)
        paragraphs.append(f'Score: {names}.')
    for name, where in cells.folders(records).items():
        paragraphs.append(f'{name} is {where}.')
    paragraphs.append(
        'The numbers of every table and figure, unrounded, are in results.csv, tables/ '
        'and figures/, which were written beside this page.'
    )
    return paragraphs


def _logistic(setting, runs):
    grids = sorted({cells.brief(run.hparams.l2s) for run in runs})
    return (
        f'{setting}: the features before the classifier, network in inference mode, '
        'whole images without augmentation; multinomial logistic regression, sum of '
        f'the cross-entropies + l2/2 |w|^2. l2: {"; ".join(grids)}.'
    )


def _trained(setting, runs):
    start = (
        'given weights and a new head' if setting == 'finetune' else 'random weights'
    )

    def values(name):
        seen = sorted({getattr(run.hparams, name) for run in runs})
        return ', '.join(map(cells.brief, seen))

    return (
        f'{setting}: all weights, from {start}; SGD with Nesterov momentum '
        f'{values("momentum")}, cosine decay of the learning rate to 0, '
        f'{values("steps")} steps at batch {values("batch")}; random resized crops.'
    )


def _gaps(missing, lines, records):
    parts = [_titled(missing)] if missing else []
    if lines:
        items = ''.join(f'<li>{html.escape(line)}</li>\n' for line in lines)
        parts.append(
            f'<details{" open" if len(lines) <= 10 else ""}><summary>Notes on '
            f'{len(lines)} Runs and tables</summary>\n<ul>\n{items}</ul></details>\n'
        )
    return parts or [_paragraph('Nothing.')] * bool(records)


def _offers(found):
    """What can be averaged where not every network has every dataset."""
    for condition, group in comparisons.conditions(found).items():
        for setting, own in cells.grouped(group, lambda cell: cell.setting).items():
            scores = {(cell.network, cell.dataset): cell.log_odds for cell in own}
            if len(scores) < len(own):
                continue  # Of several recipes the gaps depend on which is meant.
            networks = sorted({cell.network for cell in own})
            names = sorted({cell.dataset for cell in own})
            x = [[scores.get((n, d), math.nan) for d in names] for n in networks]
            offer = stats.common(x, networks, names)
            if not offer.missing or offer.block in (((), ()), (networks, names)):
                continue
            if set(offer.block[0]) == set(networks):
                continue  # The datasets that all have, which is said beside figures.
            rest = [name for name in networks if name not in offer.block[0]]
            rest += [name for name in names if name not in offer.block[1]]
            largest = 'The largest' if offer.exact else 'A large'
            few = condition.per_class
            where = '' if few is None else f', {few} images a class'
            yield (
                f'{setting}{where}: {len(offer.missing)} of {len(networks)} x '
                f'{len(names)} cells are missing. {largest} part without gaps is '
                f'{len(offer.block[0])} networks on {len(offer.block[1])} datasets; '
                f'without {", ".join(rest)}.'
            )


def _warnings(records):
    """What makes a number less sure than it looks."""
    for record in records:
        run = record.run
        if run.phase != 'final':
            continue
        where = f'{run.id}: '
        if record.status != 'done':
            yield where + 'loss or gradient was not finite; it has no score.'
        if record.images.get('skipped'):
            yield where + f'{record.images["skipped"]} broken images were left out.'
        early = [p['l2'] for p in record.curve if not p.get('solved', True)]
        if early:
            yield where + (
                f'the solver stopped early at {len(early)} of {len(record.curve)} '
                f'values of l2, up to {cells.brief(max(early))}.'
            )
        for name, value in record.chosen.items():
            grid = sorted({point[name] for point in record.curve if name in point})
            # Nothing is below a weight decay of 0.
            if value and len(grid) > 2 and value in (grid[0], grid[-1]):
                yield where + (
                    f'{name} = {cells.brief(value)} is at the edge of the values '
                    'tried; a wider grid may score better.'
                )


def _unfinished(results_dir):
    found = sorted(
        path.parent.name
        for path in pathlib.Path(results_dir).glob('*/run.json')
        if not (path.parent / 'record.json').exists()
    )
    return [f'{name}: begun, not finished.' for name in found]


def _versions(records):
    """Versions by part, with the number of Runs of each."""
    if not records:
        return
    seen = collections.defaultdict(collections.Counter)
    for record in records:
        for name, value in record.versions.items():
            if name != 'host' and value is not None:
                seen[name][str(value)] += 1
    rows = [
        {'name': name, 'value': value, 'runs': count}
        for name, values in seen.items()
        for value, count in sorted(values.items())
    ]
    yield formats.html(
        formats.table(
            'versions',
            'Versions',
            rows,
            {
                'part': lambda row: row['name'],
                'version': lambda row: row['value'],
                'Runs': lambda row: str(row['runs']),
            },
        )
    )


_STYLE = """
:root { color-scheme: light dark; --line: #d0d0d0; --soft: #666; --page: #fff;
  --text: #1a1a1a; --stripe: #f5f5f5; }
@media (prefers-color-scheme: dark) { :root { --line: #444; --soft: #aaa;
  --page: #161616; --text: #e8e8e8; --stripe: #202020; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text);
  background: var(--page); max-width: 72rem; margin: 0 auto; padding: 1rem;
  overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2rem; }
h3 { font-size: 1rem; margin-bottom: .3rem; }
summary { cursor: pointer; margin: .5rem 0; }
.wide { overflow: auto; max-height: 36rem; overflow-wrap: normal; }
figure .wide { max-height: none; }
thead th { position: sticky; top: 0; background: var(--page); }
table { border-collapse: collapse; font-size: .85rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { cursor: pointer; } th[aria-sort]::after { content: " \\2193"; }
th[aria-sort=ascending]::after { content: " \\2191"; }
tbody tr:nth-child(even) { background: var(--stripe); }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; background: #fff; padding: .5rem;
  box-sizing: border-box; }
@media (max-width: 40rem) { figure img { max-width: none; } }
figcaption, .note { font-size: .85rem; color: var(--soft); max-width: 60rem; }
"""

# A click on a head sorts by it: numbers and times from the highest, texts from A;
# another click turns it round.
_SCRIPT = """
const UNIT = {s: 1, min: 60, h: 3600, d: 86400};
function value(row, i) {
  const text = row.cells[i].textContent, number = parseFloat(text);
  return isNaN(number) ? text : number * (UNIT[text.split(' ')[1]] || 1);
}
function compare(a, b) {
  if (typeof a !== typeof b) return typeof a === 'string' ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
function sort(head) {
  const i = head.cellIndex, body = head.closest('table').tBodies[0];
  const text = [...body.rows].every(row => typeof value(row, i) === 'string');
  const old = head.getAttribute('aria-sort');
  const up = old ? old === 'descending' : text;
  for (const other of head.parentNode.cells) other.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
  body.append(...[...body.rows].sort(
    (p, q) => compare(value(p, i), value(q, i)) * (up ? 1 : -1)));
}
for (const head of document.querySelectorAll('th')) {
  head.tabIndex = 0;
  head.addEventListener('click', () => sort(head));
  head.addEventListener('keydown', e => { if (e.key === 'Enter') sort(head); });
}
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Which network transfers best</title>
<style>{style}</style>
</head>
<body>
<h1>Which network transfers best</h1>
{body}<script>{script}</script>
</body>
</html>
"""
