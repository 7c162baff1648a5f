"""Makes a command's signature from the dataclasses that declare its options.

A command takes configs; typer wants a parameter for each option. `flattened` is in
between: its parameters are the options, and from their values it builds the configs.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo

from streamdenoise.errors import ConfigError
from streamdenoise.options import Argument, Option, Panel

_PANELS = list(Panel)


def flattened(
    command: Callable[..., None], before: Callable[[], None] = lambda: None
) -> Callable[..., None]:
    """`command` with the options of its configs as parameters, in place of the configs.

    Parameters that are not dataclasses stay unchanged; `before` is called before
    configs are built.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    builders: dict[str, Callable[[Mapping[str, Any]], object]] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(hints[name]):
            parameters += _parameters(hints[name])
            builders[name] = partial(_build, hints[name])
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            builders[name] = lambda values, name=name: values[name]

    def run(**values: Any) -> None:
        before()
        command(**{name: build(values) for name, build in builders.items()})

    parameters.sort(key=_place)
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _place(parameter: inspect.Parameter) -> int:
    """Arguments come first, then options in the order of their panels."""
    declared = parameter.annotation.__metadata__[0]
    if isinstance(declared, ArgumentInfo):
        return -1
    return _PANELS.index(Panel(declared.rich_help_panel))


def _parameters(config: Any, example: object = None) -> list[inspect.Parameter]:
    found: list[inspect.Parameter] = []
    for name, hint, default in _fields(config, example):
        if is_dataclass(hint):
            found += _parameters(hint, default)
        else:
            kind, option = get_args(hint)
            found.append(_Declared(name, kind, option, default).parameter())
    return found


def _build(config: Any, values: Mapping[str, Any], example: Any = None) -> Any:
    """Build a config from the values of its options, or change those of `example`."""
    given: dict[str, Any] = {}
    for name, hint, default in _fields(config, example):
        if is_dataclass(hint):
            given[name] = _build(hint, values, default)
        elif values[name] is not None:  # else the default stays
            kind, option = get_args(hint)
            declared = _Declared(name, kind, option, default)
            given[name] = declared.value(values[name])
    return config(**given) if example is None else replace(example, **given)


def _fields(config: Any, example: object) -> Iterator[tuple[str, Any, Any]]:
    """Name, hint and default of the fields that are options, or configs with options.

    Their defaults are the values of `example`, if there is one.
    """
    hints = get_type_hints(config, include_extras=True)
    for field in fields(config):
        default = field.default
        if example is not None:
            default = getattr(example, field.name)
        elif field.default_factory is not MISSING:
            default = field.default_factory()
        hint = hints[field.name]
        if get_origin(hint) is Annotated or is_dataclass(hint):
            yield field.name, hint, default


@dataclass(frozen=True, slots=True)
class _Declared:
    """A field that is an option or an argument."""

    name: str
    kind: Any
    option: Argument | Option
    default: Any
    """`MISSING` if the field must be given."""

    @property
    def _is_tuple(self) -> bool:
        return get_origin(self.kind) is tuple

    def parameter(self) -> inspect.Parameter:
        """The parameter that typer reads."""
        kind, default = self.kind, self.default
        if self.option.parse is not None:
            kind = list[str] if self.option.repeats else str
            if default is not MISSING and not isinstance(default, str):
                default = self.option.shown
        elif self._is_tuple:
            kind = list[get_args(kind)[0]]
            default = default if default is MISSING else None
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if default is MISSING else default,
            annotation=Annotated[kind | None if default is None else kind, self._info],
        )

    def value(self, given: Any) -> Any:
        """The field's value, from that of the parameter.

        Raises:
            ConfigError: The text that was given cannot be parsed.
        """
        if self.option.parse is None:
            return tuple(given) if self._is_tuple else given
        try:
            return self.option.parse(given)
        except ConfigError as exc:
            name = self._flags[-1] if isinstance(self.option, Option) else ""
            if name in str(exc):
                raise
            raise ConfigError(f"{name}: {exc}") from exc

    @property
    def _info(self) -> Any:
        """The parameter's description for typer."""
        option = self.option
        if isinstance(option, Argument):
            return typer.Argument(
                help=option.help, metavar=option.metavar, show_default=False
            )
        return typer.Option(
            *self._flags,
            help=option.help,
            metavar=option.metavar,
            rich_help_panel=option.panel,
        )

    @property
    def _flags(self) -> tuple[str, ...]:
        if isinstance(self.option, Option) and self.option.flags:
            return self.option.flags
        flag = self.name.replace("_", "-")
        is_flag = bool in (self.kind, *get_args(self.kind))
        if is_flag and self.default is not False:
            return (f"--{flag}/--no-{flag}",)
        return (f"--{flag}",)
