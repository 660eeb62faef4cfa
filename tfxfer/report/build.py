"""Writes the report of a results folder: tables, figures and one page."""

import contextlib
import gc
import os
import pathlib
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from tfxfer import errors, results, storage
from tfxfer.analysis import cells
from tfxfer.analysis import published as published_results
from tfxfer.report import (
    basis,
    figure_files,
    formats,
    gallery,
    methods,
    notes,
    page,
    race_text,
    section,
    sections,
    text,
)
from tfxfer.report.sections import results as main_results

# Tables that stand beside the figures of the choice.
CHOSEN = ('runs', 'sources')
# Tables that have a place of their own on the page.
PLACED = (main_results.NAME, 'race', 'classes', 'mistakes', 'missing', *CHOSEN)


def write(
    results_dir: str | os.PathLike,
    output: str | os.PathLike | None = None,
    published: Iterable[str | os.PathLike] = (),
    *,
    thumbnails: bool = True,
) -> pathlib.Path:
    """Writes report, tables and figures; returns the path of the report.

    Args:
        results_dir: folder of all Runs' folders.
        output: path of the .html; report.html in results_dir if not given. Tables and
            figures go beside it.
        published: paths of CSV files of published results, see published.read. With
            them results_dir may be without Records, or not be there; then there must
            be an output.
        thumbnails: whether mistakes are shown with thumbnails of their images, which
            are kept beside the page.

    Raises:
        errors.InputError: no folder, no Record or one that cannot be read; a file of
            published results that cannot be read; a folder that cannot be made.
    """
    try:
        return _write(results_dir, output, published, thumbnails=thumbnails)
    finally:
        gc.unfreeze()


def _write(results_dir, output, published, *, thumbnails):
    theirs = [one for path in published for one in published_results.read(path)]
    records, left_out = _read(results_dir, output, theirs)
    output = pathlib.Path(output or pathlib.Path(results_dir) / 'report.html')
    storage.writable(output.parent)
    if output.is_dir():
        raise errors.InputError(
            f'--output={str(output)!r} is a folder; name a file in it, such as '
            f'{str(output / "report.html")!r}.'
        )
    study = section.of(records, theirs, results_dir if records else None)
    tables, drawings = sections.tables(study), sections.drawings(study)
    _write_tables(tables, output.parent)
    figure_files.save(drawings, output.parent / 'figures')
    figures = {
        subject: [page.figure(one, output.parent / 'figures') for one in group]
        for subject, group in cells.grouped(drawings, lambda one: one.subject).items()
    }
    parts = {
        'figures': figures,
        'tables': {table.name: table for table in tables},
        'galleries': [],
        'unfinished': [*left_out, *notes.unfinished(results_dir)],
    }
    if thumbnails:
        folders = output.parent, pathlib.Path(results_dir)
        parts['galleries'] = gallery.galleries(study, folders)
    html = page.render(_page_sections(study, **parts))
    with storage.replacing(output) as temporary:
        temporary.write_text(html, encoding='utf-8', newline='\n')
    return output


def _write_tables(tables, folder):
    """The main table beside the page, the others in tables/; old ones are removed."""
    main = main_results.NAME
    formats.write([t for t in tables if t.name == main], folder)
    formats.write([t for t in tables if t.name != main], folder / 'tables')
    for name in set(sections.TABLES) - {table.name for table in tables}:
        for suffix in formats.FORMATS:  # From when there was something to say.
            (folder / 'tables' / f'{name}.{suffix}').unlink(missing_ok=True)


def _read(results_dir, output, theirs):
    """results.Folder; empty if there are published results and the folder has none."""
    if not theirs or any(pathlib.Path(results_dir).glob('*/record.json')):
        with _lasting():
            return cells.read_folder(results_dir)
    if output is None:
        raise errors.InputError(
            f'{str(results_dir)!r} holds no finished Run. To draw the published '
            'results alone, name the file: --output=theirs/report.html.'
        )
    return results.Folder([], [])


@contextlib.contextmanager
def _lasting() -> Iterator[None]:
    """What is made in the block stays out of garbage collection to `gc.unfreeze`.

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


def summary(
    records: Sequence[results.Record], results_dir: str | os.PathLike | None = None
) -> str:
    """The main table as text, the answer, and how much is missing.

    results_dir: of the Records, for tests and intervals that need predictions.

    Raises:
        errors.InputError: predictions that are not those that were scored.
    """
    folder = None if results_dir is None else pathlib.Path(results_dir)
    study = section.of(records, folder=folder)
    parts = [formats.md(main_results.main_table(study.cells, study.missing))]
    raced = race_text.paragraphs(study.race) if study.race else []
    parts += [
        textwrap.fill(paragraph, 88) + '\n'
        for paragraph in (*raced, *text.write(study.cells, study.judged).first)
    ]
    if study.missing:
        parts.append(f'Not measured yet: {len(study.missing)}.\n')
    return '\n'.join(parts)


def _page_sections(study, figures, tables, galleries, unfinished):
    """The report in order.

    Args:
        study: section.Study.
        figures: {subject: page.Figures}.
        tables: {name: Table}, those that have rows.
        galleries: parts about mistakes.
        unfinished: sentences about Runs that are left out or not done.
    """

    def named(*names):
        return [tables[name] for name in names if name in tables]

    return [
        page.Section('The answer', _answer(study), card=True),
        page.Section(
            'Ranking',
            [
                *_of_tasks(figures, 'ranking', 'rankings'),
                *named('race', main_results.NAME),
            ],
        ),
        page.Section('Accuracy and cost', _of_tasks(figures, 'cost', 'costs')),
        page.Section(
            'Per-class accuracy',
            [
                *_of_tasks(figures, 'classes', 'class accuracies'),
                *page.folded_tables(named('classes')),
            ],
        ),
        page.Section(
            'Most confident mistakes',
            [*galleries, *page.folded_tables(named('mistakes'))],
        ),
        page.Section('Transfer and source accuracy', figures.get('transfer', ())),
        page.Section('Settings compared', figures.get('comparison', ())),
        page.Section('What else was varied', figures.get('experiment', ())),
        page.Section(
            'Tests and tables',
            page.folded_tables(t for name, t in tables.items() if name not in PLACED),
        ),
        page.Section(
            'Chosen hyperparameters',
            [
                *page.folded_tables(named(*CHOSEN)),
                *page.folded_figures('How each was chosen', figures.get('choice', ())),
            ],
        ),
        page.Section(
            'Details', page.folded_figures('More figures', figures.get('detail', ()))
        ),
        page.Section('What is missing', _missing(study, named('missing'), unfinished)),
        page.Section('How each number was made', _methods(study)),
    ]


def _of_tasks(figures, few, many):
    """Figures of single tasks, which are folded where there are many."""
    return [
        *figures.get(few, ()),
        *page.folded_figures('Each dataset', figures.get(many, ())),
    ]


def _methods(study):
    parts: list[page.Part] = []
    if paragraphs := page.paragraphs(methods.methods(study.records, study.cells)):
        parts.append(page.Fold('Methods', paragraphs))
    if study.records:
        parts.append(page.Fold('Versions', [methods.versions(study.records)]))
    return parts


def _answer(study):
    if not study.records:
        return page.paragraphs([text.published_alone(study.published)])
    answer = text.write(study.cells, study.judged)
    raced = race_text.paragraphs(study.race) if study.race else []
    parts: list[page.Part] = [*page.paragraphs([*raced, *answer.first])]
    if answer.tasks:
        summary = f'Each of the {len(answer.tasks)} tasks'
        parts.append(page.Fold(summary, page.paragraphs(answer.tasks)))
    if facts := basis.facts(study):
        parts.append(page.Facts(facts))
    return parts


def _missing(study, tables, unfinished):
    """The table, if any, and all notes; they are folded where they are many."""
    lines = [
        *sections.notes(study),
        *notes.complete_parts(study.cells),
        *notes.warnings(study.records),
        *unfinished,
    ]
    parts: list[page.Part] = [*tables]
    if lines:
        parts.append(
            page.Fold(
                f'{len(lines)} note{"s" if len(lines) > 1 else ""}',
                [page.Bullets(lines)],
                open=len(lines) <= 10,
            )
        )
    if not parts and study.records:
        return page.paragraphs(['Nothing.'])
    return parts
