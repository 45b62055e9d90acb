"""Options that the command line gives, and refusing those that mean nothing for what was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import typer

from acquisition.errors import InputError


def given_options(context: typer.Context) -> dict[str, str]:
    """Return the option, e.g. ``--trial-s``, by parameter of each that stands on the command line."""
    given = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if source is not None and source.name == "COMMANDLINE":
            given[str(parameter.name)] = parameter.opts[0]
    return given


def refuse_others(context: typer.Context, where: str, why: Mapping[str, str]) -> None:
    """Refuse options that mean nothing here, instead of passing over them.

    Parameters
    ----------
    context : typer.Context
        Of the command.
    where : str
        For what they mean nothing.
    why : mapping of str to str
        Why not, by the name of the parameter.

    Raises
    ------
    InputError
        With all that were given, those of one reason together.
    """
    wrong: dict[str, list[str]] = {}
    for name, option in given_options(context).items():
        if name in why:
            wrong.setdefault(why[name], []).append(option)
    if wrong:
        said = "; ".join(f"{listed(options)}: {reason}" for reason, options in wrong.items())
        several = sum(map(len, wrong.values())) > 1
        raise InputError(said, where=where, remedy="leave them out" if several else "leave it out")


def listed(words: Sequence[str]) -> str:
    """Return for example ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
