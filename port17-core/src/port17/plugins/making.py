"""Makes an instance of a plugin's class: options through its ``Config``, its own failures told from ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from port17.errors import Port17Error
from port17.plugins import faults


def construct(cls: type[Any], options: Mapping[str, object], what: str, dist: str) -> Any:
    """An instance, whether it counts as true or not.

    :param options: for the class's ``Config``; without one there must be none.
    :param what: the plugin in an error message.
    :param dist: the distribution or file to blame.
    :raises ConfigError: the options don't fit.
    :raises PluginError: the plugin's code failed.
    """
    model = getattr(cls, "Config", None)
    try:
        if isinstance(model, type) and issubclass(model, BaseModel):
            config = _validated(model, options, what)
            # Who inherits a Config but writes no constructor has nothing to take it with.
            instance = cls() if cls.__init__ is object.__init__ else cls(config)
        elif options:
            raise faults.no_options(what)
        else:
            instance = cls()
    except Port17Error:
        raise
    except Exception as error:
        raise faults.crashed(what, dist, "to be made", error) from error
    if not isinstance(instance, cls):
        raise faults.unfit(what, dist, f"making it gave an instance of {type(instance).__name__}")
    return instance


def _validated(model: type[BaseModel], options: Mapping[str, object], what: str) -> BaseModel:
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        raise faults.bad_options(what, error, model.model_fields) from error
