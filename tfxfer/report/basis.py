"""What an answer rests on: cells, images and seeds, and what they do not cover."""

from collections.abc import Iterator, Sequence

from tfxfer.analysis import cells
from tfxfer.report import page
from tfxfer.report.section import Study


def facts(study: Study) -> list[page.Fact]:
    """Of the cells that were scored; none where there are none."""
    scored = [cell for cell in study.cells if cell.score is not None]
    if not scored:
        return []
    return [
        page.Fact('Compared', _compared(study, scored)),
        page.Fact('Test images', _range([cell.test_images for cell in scored])),
        page.Fact('Training images', _training_images(scored)),
        page.Fact('Seeds', _seeds(scored)),
        page.Fact('Not covered', '; '.join(_not_covered(scored))),
    ]


def _compared(study: Study, scored: Sequence[cells.Cell]) -> str:
    networks = len({cell.network for cell in scored})
    settings = len({cell.setting for cell in scored})
    datasets = len({cell.dataset for cell in scored})
    parts = [
        f'{_count(len(scored), "cell")}: {_count(networks, "network")}, '
        f'{_count(settings, "setting")}, {_count(datasets, "dataset")}'
    ]
    diverged = len(study.cells) - len(scored)
    if diverged:
        parts.append(f'{diverged} more diverged')
    if study.missing:
        parts.append(f'{len(study.missing)} not measured yet')
    return '; '.join(parts)


def _training_images(scored: Sequence[cells.Cell]) -> str:
    """How many, and how many of them hyperparameters were chosen by."""
    of = [cell.records[0].images for cell in scored]
    text = _range([images['train'] + images['valid'] for images in of])
    held = _range([images['valid'] for images in of])
    return f'{text}, of which {held} for validation'


def _seeds(scored: Sequence[cells.Cell]) -> str:
    """Of the cells in which a seed changes something."""
    counts = [len(cell.records) for cell in scored if cell.varies]
    if not counts:
        return 'none needed: another seed would give the same results'
    fixed = len(counts) < len(scored)
    return _range(counts) + ('; logistic regression needs none' if fixed else '')


def _not_covered(scored: Sequence[cells.Cell]) -> Iterator[str]:
    alone = sum(not cell.noise_covered for cell in scored)
    if alone:
        of = 'all' if alone == len(scored) else f'{alone} of {len(scored)}'
        yield f'training noise ({of} cells have one seed)'
    if any(cell.metric == 'voc_map' for cell in scored):
        yield 'test images of average precision, which has no interval here'
    several = [cell for cell in scored if len(cell.records) > 1]
    if not several or any(cell.per_class is None for cell in scored):
        yield 'other training images'
    yield 'other pretrained weights'
    chosen = [cell for cell in several if cell.records[0].run.trials]
    if any(len({r.run.trials for r in cell.records}) == 1 for cell in chosen):
        yield 'another choice of hyperparameters, which was made with one seed'
    else:
        yield 'hyperparameters that were not tried'


def _count(number: int, name: str) -> str:
    return f'{number} {name}{"" if number == 1 else "s"}'


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f'{low:,}' if low == high else f'{low:,} to {high:,}'
