"""Makes a command's signature from the dataclasses that declare its options.

A command takes whole configs; typer wants a parameter for each option. `flattened`
stands between them: its parameters are the options, and from their values it builds
the configs.
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

    Parameters that are not dataclasses stay as they are; `before` is called before
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


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a config: an option, or a config of its own (`option` is None)."""

    name: str
    kind: Any
    option: Argument | Option | None
    default: Any
    """`MISSING` if the field must be given."""

    @property
    def is_tuple(self) -> bool:
        return get_origin(self.kind) is tuple

    def parameter(self) -> inspect.Parameter:
        """The parameter that typer reads."""
        assert self.option is not None
        kind, default = self.kind, self.default
        if self.option.parse is not None:
            kind = list[str] if self.option.repeats else str
            if default is not MISSING and not isinstance(default, str):
                default = self.option.shown
        elif self.is_tuple:
            kind = list[get_args(kind)[0]]
            default = default if default is MISSING else None
        if default is None:
            kind |= None
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if default is MISSING else default,
            annotation=Annotated[kind, self._info()],
        )

    def value(self, given: Any) -> Any:
        """The field's value; `MISSING` for its own default.

        Raises:
            ConfigError: What was given cannot be parsed.
        """
        assert self.option is not None
        if given is None:
            return MISSING
        if self.option.parse is None:
            return tuple(given) if self.is_tuple else given
        try:
            return self.option.parse(given)
        except ConfigError as exc:
            name = self._flags()[-1] if isinstance(self.option, Option) else ""
            if name in str(exc):
                raise
            raise ConfigError(f"{name}: {exc}") from exc

    def _info(self) -> Any:
        option = self.option
        if isinstance(option, Argument):
            return typer.Argument(
                help=option.help, metavar=option.metavar, show_default=False
            )
        assert option is not None
        return typer.Option(
            *self._flags(),
            help=option.help,
            metavar=option.metavar,
            rich_help_panel=option.panel,
        )

    def _flags(self) -> tuple[str, ...]:
        assert isinstance(self.option, Option)
        if self.option.flags:
            return self.option.flags
        flag = self.name.replace("_", "-")
        has_no_form = bool in (self.kind, *get_args(self.kind)) and (
            self.default is not False
        )
        return (f"--{flag}/--no-{flag}" if has_no_form else f"--{flag}",)


def _fields(config: type, example: object) -> Iterator[_Field]:
    """Options and configs among the fields of `config`; defaults are of `example`."""
    hints = get_type_hints(config, include_extras=True)
    for field in fields(config):
        hint, option = hints[field.name], None
        if get_origin(hint) is Annotated:
            hint, option = get_args(hint)
        elif not is_dataclass(hint):
            continue
        default = field.default
        if example is not None:
            default = getattr(example, field.name)
        elif field.default_factory is not MISSING:
            default = field.default_factory()
        yield _Field(field.name, hint, option, default)


def _parameters(config: type, example: object = None) -> Iterator[inspect.Parameter]:
    for field in _fields(config, example):
        if field.option is None:
            yield from _parameters(field.kind, field.default)
        else:
            yield field.parameter()


def _build(config: type, values: Mapping[str, Any], example: Any = None) -> Any:
    """The config that `values` of its options make."""
    given = {}
    for field in _fields(config, example):
        if field.option is None:
            given[field.name] = _build(field.kind, values, field.default)
        else:
            given[field.name] = field.value(values[field.name])
    given = {name: value for name, value in given.items() if value is not MISSING}
    return config(**given) if example is None else replace(example, **given)
