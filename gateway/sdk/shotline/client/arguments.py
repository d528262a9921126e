"""Whether arguments are of the types that signatures state: asked once, before messages are made of them."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import wraps
from itertools import chain
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, SupportsIndex, TypeVar, Union, cast, get_args, get_origin, get_type_hints

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
Class = TypeVar("Class", bound=type)

# What is taken for these besides themselves; a bool is no number.
_ALSO: dict[type, tuple[type, ...]] = {int: (SupportsIndex,), float: (int, Decimal)}


def checked(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """`function`, which first raises a TypeError that names the argument of another type than its annotation."""
    names = tuple(inspect.signature(function).parameters)
    wanted = {name: _Wanted.of(hint) for name, hint in get_type_hints(function).items() if name in names}

    def check(args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        for name, value in chain(zip(names, args, strict=False), kwargs.items()):
            if name in wanted:
                wanted[name].check(name, value)

    @wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        check(args, kwargs)
        return function(*args, **kwargs)

    @wraps(function)
    async def call_later(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Any:
        check(args, kwargs)
        return await cast(Any, function(*args, **kwargs))

    return cast(Callable[Arguments, Answer], call_later) if inspect.iscoroutinefunction(function) else call


def checks_arguments(kind: Class) -> Class:
    """The class with all its public methods `checked`."""
    for name, method in list(vars(kind).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(kind, name, checked(method))
    return kind


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an annotation allows."""

    classes: tuple[type, ...]
    items: "_Wanted | None" = None  # of an iterable; None: not looked at

    @classmethod
    def of(cls, hint: Any) -> "_Wanted":
        origin = get_origin(hint)
        if origin in (Union, UnionType):
            parts = [cls.of(part) for part in get_args(hint)]
            classes = tuple(chain.from_iterable(part.classes for part in parts))
            return cls(classes, next((part.items for part in parts if part.items), None))
        if origin is Literal:
            return cls(tuple({type(value) for value in get_args(hint)}))
        return cls((origin or hint,), cls.of(get_args(hint)[0]) if origin is Iterable else None)

    def check(self, name: str, value: object) -> None:
        if not any(_is(value, each) for each in self.classes):
            told = " or ".join(
                each.__name__ for each in self.classes if each is not NoneType and not issubclass(each, Enum)
            )
            raise TypeError(f"{name}: {told} is wanted, not {type(value).__name__}")
        if self.items and isinstance(value, (list, tuple, set, frozenset)):
            for index, item in enumerate(value):
                self.items.check(f"{name}[{index}]", item)


def _is(value: object, wanted: type) -> bool:
    if isinstance(value, bool):
        return wanted is bool
    if isinstance(value, str):
        return wanted is str  # and no iterable of its letters
    return isinstance(value, (wanted, *_ALSO.get(wanted, ())))
