"""What a results folder says: ranking, answer, figures, and the model of a Run."""

import functools
import os
import pathlib
import typing

from tfxfer import errors
from tfxfer.analysis import cells
from tfxfer.comparison import ranking
from tfxfer.report import (
    build,
    formats,
    race_text,
    rendering,
    section,
    sections,
    text,
)

if typing.TYPE_CHECKING:
    import pandas as pd
    from matplotlib import figure


class Result:
    """A results folder, as `tfxfer.compare` leaves it and `tfxfer.load` reads it.

    Its state: the Records that were read when it was made.

    Attributes:
        folder: of the Runs.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        """Reads the folder.

        Raises:
            errors.InputError: no such folder, or no Record in it.
        """
        self.folder = pathlib.Path(folder)
        self._study = section.of(cells.read(folder), folder=self.folder)

    @functools.cached_property
    def ranked(self) -> list[ranking.Ranked]:
        """Every network in every setting, by task, the highest score first."""
        return ranking.ranked(self._study)

    @functools.cached_property
    def table(self) -> 'pd.DataFrame':
        """The ranking as a data frame, one row each; the columns of ranking.Ranked."""
        return ranking.table(self.ranked).frame

    @property
    def best(self) -> ranking.Ranked:
        """The highest score, which others may not be told apart from: see `answer`.

        Raises:
            errors.InputError: there is more than one task, or every Run diverged.
        """
        tasks = list(dict.fromkeys(row.dataset for row in self.ranked))
        firsts = [row for row in self.ranked if row.verdict == ranking.BEST]
        if len(firsts) != 1:
            raise errors.InputError(
                f'There is no single best: {len(firsts)} tasks have one '
                f'({", ".join(tasks)}). See `table`.'
            )
        return firsts[0]

    @property
    def answer(self) -> str:
        """The answer in words, as the report gives it, and what is not measured yet."""
        return '\n\n'.join(self.paragraphs)

    @property
    def paragraphs(self) -> list[str]:
        """The paragraphs of `answer`."""
        race = self._study.race
        found = race_text.paragraphs(race) if race else []
        found += text.write(self._study.cells, self._study.judged).first
        if self._study.missing:
            found.append(f'Not measured yet: {len(self._study.missing)}.')
        return found

    @functools.cached_property
    def figures(self) -> 'dict[str, figure.Figure]':
        """The figures of the report by name."""
        return {one.name: one.figure for one in sections.drawings(self._study)}

    def figure(self, name: str | None = None) -> 'figure.Figure':
        """A figure of the report; without a name the first.

        Raises:
            errors.InputError: there is none, or none of the name.
        """
        if not self.figures:
            raise errors.InputError('There is too little to draw: no figure.')
        return errors.find('figure', self.figures, name or next(iter(self.figures)))

    def report(self, output: str | os.PathLike | None = None) -> pathlib.Path:
        """Writes the report; returns its path: report.html of the folder, or output."""
        return build.write(self.folder, output)

    def export(self, output: str | os.PathLike, run: str | None = None) -> pathlib.Path:
        """Writes the SavedModel of a final Run into a new folder, and its model card.

        Args:
            output: the folder.
            run: id of the Run; None: that of `best`.

        Raises:
            errors.InputError, RuntimeError: see export.saved_model.export.
        """
        from tfxfer.export import saved_model  # TensorFlow.

        saved_model.export(self.folder / (run or self.best.run), output)
        return pathlib.Path(output)

    def summary(self) -> str:
        """The ranking and the answer as text."""
        return f'{formats.md(ranking.table(self.ranked))}\n{self.answer}'

    def __repr__(self) -> str:
        return f'Result({str(self.folder)!r})\n{self.answer}'

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer and the ranking."""
        return rendering.render(
            'result.html',
            paragraphs=self.paragraphs,
            table=ranking.table(self.ranked),
        )
