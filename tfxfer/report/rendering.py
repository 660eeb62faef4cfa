"""Fills the files in templates/, where all HTML, CSS and JavaScript of reports is."""

import functools
import typing

import jinja2
import markupsafe


def render(template: str, **values: typing.Any) -> str:
    """The text of a template; values are escaped, and all that it names must be given.

    Raises:
        jinja2.UndefinedError: it names a value that is not given.
    """
    return _environment().get_template(template).render(values)


@functools.cache
def _environment():
    loader = jinja2.PackageLoader('tfxfer.report')
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # A file as it is: CSS and JavaScript may hold what Jinja would read.
    environment.globals['source'] = lambda name: markupsafe.Markup(
        loader.get_source(environment, name)[0]
    )
    return environment
