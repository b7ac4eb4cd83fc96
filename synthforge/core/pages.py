"""HTML reports: one self-contained file, with a light and a dark palette."""

from __future__ import annotations

from typing import Any


def page(package: str, name: str, **data: Any) -> str:
    """The template `templates/NAME` of a package, filled in; every text is escaped, since labels come from data.

    It begins with `{% include "head.html" %}`, which needs `title`, accepts `maker`, and ends inside `<style>`.
    """
    import jinja2

    loaders = [jinja2.PackageLoader(package), jinja2.PackageLoader(__package__)]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template(name).render(data)
