"""The sections of the report, a file each, in their order.

To add one: a file with a SECTION, and its place in SECTIONS.
"""

import collections
import dataclasses

from tfxfer.report import formats, style
from tfxfer.report.section import Study
from tfxfer.report.sections import (
    chosen,
    classes,
    comparisons,
    confusion,
    convergence,
    cost,
    dataset_size,
    finetune_options,
    missing,
    mistakes,
    network_pairs,
    option_effects,
    public_and_own,
    published,
    race,
    ranking,
    results,
    scores,
    settings,
    sources,
    training_options,
    transfer,
)

# Of tables and of figures alike.
SECTIONS = (
    race.SECTION,
    ranking.SECTION,
    cost.SECTION,
    classes.SECTION,
    mistakes.SECTION,
    results.SECTION,
    comparisons.SECTION,
    transfer.SECTION,
    public_and_own.SECTION,
    settings.SECTION,
    scores.SECTION,
    network_pairs.SECTION,
    published.SECTION,
    dataset_size.SECTION,
    convergence.SECTION,
    training_options.SECTION,
    finetune_options.SECTION,
    option_effects.SECTION,
    missing.SECTION,
    chosen.SECTION,
    sources.SECTION,
    confusion.SECTION,
)
TABLES = tuple(name for section in SECTIONS for name in section.names)


def tables(study: Study) -> list[formats.Table]:
    """Every table that has rows."""
    built = [table for section in SECTIONS for table in section.tables(study)]
    return [table for table in built if len(table.frame)]


def drawings(study: Study) -> list[style.Drawing]:
    """Every figure; of several of one name the later are numbered."""
    drawn = [drawing for section in SECTIONS for drawing in section.drawings(study)]
    uses: collections.Counter = collections.Counter()
    for i, drawing in enumerate(drawn):
        uses[drawing.name] += 1
        if uses[drawing.name] > 1:
            name = f'{drawing.name}_{uses[drawing.name]}'
            drawn[i] = dataclasses.replace(drawing, name=name)
    return drawn


def notes(study: Study) -> list[str]:
    """Sentences about what tables and figures leave out, each once."""
    lines = [line for section in SECTIONS for line in section.notes(study)]
    return list(dict.fromkeys(lines))
