"""Groups of options as dataclasses, and help with headings: what `app.cli` adds to typer.

A group is a dataclass whose fields are made by `option`, or of a type ``Annotated[type, Option(...)]`` that
several commands share. `grouped` spreads the groups among a command's parameters into options of the command
line, and builds them when the command is called; ``PANEL`` is the heading above them in its help.
"""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Iterable
from copy import copy
from typing import Annotated, Any, TypeVar, dataclass_transform

import typer
from typer.core import TyperCommand, TyperGroup

Result = TypeVar("Result")
T = TypeVar("T")


def option(default: Any, help: str, *names: str, **details: Any) -> Any:
    """Return an option, as a field of a group or the default of a command's parameter.

    A ``default`` of ``...`` makes it required; ``names`` and ``details`` are those of `typer.Option`.
    """
    default = dataclasses.MISSING if default is ... else default
    return dataclasses.field(default=default, metadata={"option": typer.Option(*names, help=help, **details)})


@dataclass_transform(frozen_default=True, kw_only_default=True)
def option_group(heading: str = "") -> Callable[[type[T]], type[T]]:
    """Make a class a group of options under a heading of the help; one that extends another keeps its own."""

    def made(group: Any) -> Any:
        group.PANEL = heading or group.PANEL
        return dataclasses.dataclass(frozen=True, kw_only=True)(group)

    return made


def grouped(command: Callable[..., Result]) -> Callable[..., Result]:
    """Return the command with the fields of its option groups as parameters, which typer understands.

    Two groups of one command must not have fields of one name.
    """
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if dataclasses.is_dataclass(parameter.annotation):
            groups[parameter.name] = parameter.annotation
            parameters += _options_of(parameter.annotation)
        elif isinstance(parameter.default, dataclasses.Field):
            parameters.append(_parameter(parameter.name, parameter.annotation, parameter.default))
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def call(**values: Any) -> Result:
        for name, group in groups.items():
            options = {field.name: values.pop(field.name) for field in dataclasses.fields(group)}
            values[name] = group(**options)
        return command(**values)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _options_of(group: Any) -> Iterable[inspect.Parameter]:
    hints = typing.get_type_hints(group, include_extras=True)
    for field in dataclasses.fields(group):
        yield _parameter(field.name, hints[field.name], field, group.PANEL)


def described(*groups: Any) -> dict[str, Any]:
    """Return help, least and largest value of every option of some groups, as typer keeps them, by field."""
    return {p.name: typing.get_args(p.annotation)[1] for group in groups for p in _options_of(group)}


def _parameter(name: str, kind: Any, field: Any, heading: str | None = None) -> inspect.Parameter:
    """Return an option of the command line, under the heading of its group unless it has one of its own."""
    if "option" in field.metadata:
        option = field.metadata["option"]
    else:
        kind, option = typing.get_args(kind)
    if heading is not None and option.rich_help_panel is None:
        option = copy(option)
        option.rich_help_panel = heading
    default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
    annotation, keyword = Annotated[kind, option], inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=annotation)


def add(
    app: typer.Typer, *commands: Callable[..., Any] | typer.Typer, panel: str | None = None
) -> typer.Typer:
    """Add commands, and applications with commands of their own, under a heading of the help."""
    for command in commands:
        if isinstance(command, typer.Typer):
            app.add_typer(command, rich_help_panel=panel)
        else:
            name = command.__name__.strip("_").replace("_", "-")
            app.command(name, cls=Command, rich_help_panel=panel)(grouped(command))
    return app


def application(name: str, help: str, callback: Callable[..., Any] | None = None) -> typer.Typer:
    """Return an empty application, whose ``callback`` runs where no command of it is named."""
    app = typer.Typer(
        name=name,
        help=help,
        cls=Group,
        no_args_is_help=callback is None,
        invoke_without_command=callback is not None,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode=None,
    )
    if callback is not None:
        app.callback()(grouped(callback))
    return app


def _write_options(command: Any, ctx: Any, formatter: Any) -> None:
    rows = []
    for parameter in command.get_params(ctx):
        if (record := parameter.get_help_record(ctx)) is not None:
            is_argument = parameter.param_type_name == "argument"
            heading = "Arguments" if is_argument else "Required" if parameter.required else "Options"
            if heading == "Options":
                heading = getattr(parameter, "rich_help_panel", None) or heading
            rows.append((heading, *record))
    _write_sections(formatter, rows)


class Command(TyperCommand):
    """A command whose help shows its options under the headings of their groups."""

    format_options = _write_options


class Group(TyperGroup):
    """Commands whose help shows them under their headings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)
        commands = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        headings = (getattr(command, "rich_help_panel", None) or "Commands" for _, command in commands)
        texts = ((name, command.get_short_help_str(limit=200)) for name, command in commands)
        _write_sections(formatter, [(heading, *text) for heading, text in zip(headings, texts, strict=True)])


#: Headings in the order of the help; others stand where "" is.
_ORDER = (
    "Arguments",
    "Required",
    "",
    "Options",
    "Live",
    "Record",
    "Calibrate",
    "Data and training",
    "Machine",
)


def _write_sections(formatter: Any, rows: Iterable[tuple[str, str, str]]) -> None:
    sections: dict[str, list[tuple[str, str]]] = {}
    for heading, name, text in rows:
        sections.setdefault(heading, []).append((name, text))
    for heading in sorted(sections, key=lambda one: _ORDER.index(one if one in _ORDER else "")):
        with formatter.section(heading):
            formatter.write_dl(sections[heading])
