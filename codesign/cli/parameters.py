"""Options that are converted only where there is something to convert.

typer builds a converter for every parameter of a command, given or not, and its library for that takes longer to import
than most commands take to run. A value that is absent, or has its type already, needs none.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperArgument, TyperOption

PLAIN = (str, int, float, bool)


class _OnDemand:
    """Stands for a converter that is built when the first value needs it."""

    def __init__(self, parameter: Any, build: Any) -> None:
        self._parameter, self._build = parameter, build

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return ``value`` in the type of the parameter."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        described = self._parameter.type_descriptor
        if type(value) is described.annotation in PLAIN and not (described.is_ranged or described.is_choice):
            return value
        return self._build().coerce(value, param=param, ctx=ctx)


class _Option(TyperOption):
    def get_runtime_param(self) -> Any:
        """Return the converter."""
        return _OnDemand(self, super().get_runtime_param)


class _Argument(TyperArgument):
    def get_runtime_param(self) -> Any:
        """Return the converter."""
        return _OnDemand(self, super().get_runtime_param)


def convert_on_demand(command: Any) -> None:
    """Make the parameters of a command, ``--help`` included, convert only what has to be converted."""
    for parameter in command.params:
        _change(parameter)
    make_help = command.get_help_option
    command.get_help_option = lambda ctx: _change(make_help(ctx))


def _change(parameter: Any) -> Any:
    for kind, ours in ((TyperOption, _Option), (TyperArgument, _Argument)):
        if type(parameter) is kind:
            parameter.__class__ = ours
    return parameter
