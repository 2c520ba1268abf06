"""Read a pickle as data: its instructions are followed one by one, and nothing that it names is imported or called.

`pickle.load` runs whatever a file asks for. Here a name in the file stays a word (`Name`), making an object of a
known name calls the function of ours that stands for it, and every other name or instruction ends the reading.
The instructions are those of the standard library's `pickletools`, which also says what each of them means.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": set}
LITERALS = frozenset(
    {
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    }
)
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class Name:
    """A name that the file mentions, such as "torch.FloatStorage". It is a word; nothing was imported."""

    text: str


@dataclass(eq=False)
class Record:
    """An object of the file as data: the name of its class, and the state that it was to get."""

    name: str
    state: Any = None


class PickleError(ValueError):
    """A pickle that is damaged, or asks for more than data. The message is the end of a sentence on the file."""


def read_pickle(
    data: bytes, makers: Mapping[str, Callable[..., Any] | None], stored: Callable[[Any], Any]
) -> Any:
    """The value in a pickle: dicts, lists, tuples, strings, numbers, `Name`s, and what the makers make.

    makers: for every name that the file may mention, what an object of it becomes: a function of the arguments, or
        None where the name may be mentioned but nothing be made of it.
    stored: what a reference to data beside the pickle (a persistent id) becomes.

    Raises PickleError for every other name, which it says, and for damaged pickles.
    """
    machine = _Machine(makers, stored)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.follow(opcode.name, argument)
        (value,) = machine.stack
    except PickleError:
        raise
    except Exception as error:  # whatever nonsense the instructions add up to
        raise PickleError(f"its pickle is damaged ({' '.join(str(error).split())[:120]})") from error
    return value


class _Machine:
    """The stack and the memory of a pickle that is being read."""

    def __init__(self, makers: Mapping[str, Callable[..., Any] | None], stored: Callable[[Any], Any]):
        self.makers, self.stored = makers, stored
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # stacks below the marks that are open
        self.memory: dict[int, Any] = {}

    def follow(self, opcode: str, argument: Any) -> None:
        """Follow one instruction: a value by its table, everything else by the method of its name."""
        if opcode in LITERALS:
            self.stack.append(argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        elif opcode in EMPTY:
            self.stack.append(EMPTY[opcode]())
        elif opcode in TUPLES:
            self.stack.append(tuple(self._pop(TUPLES[opcode])))
        else:
            self._method(opcode)(argument)

    def _method(self, opcode: str) -> Callable[[Any], None]:
        method = getattr(self, f"do_{opcode.lower()}", None)
        if method is None:
            raise PickleError(f"its pickle has the instruction {opcode}, which no checkpoint needs")
        return method

    def _pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise PickleError("its pickle is damaged (it takes more values than there are)")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def _since_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.outer.pop()
        return values

    # ---- names, and objects made of them

    def _mention(self, text: str) -> None:
        if text not in self.makers:
            raise PickleError(
                f"its pickle asks for {text}, which is neither a tensor nor a plain setting; nothing of it was run"
            )
        self.stack.append(Name(text))

    def _make(self) -> None:
        name, arguments = self._pop(2)
        if not isinstance(name, Name) or self.makers[name.text] is None:
            raise PickleError(f"its pickle wants to call {getattr(name, 'text', type(name).__name__)}")
        self.stack.append(self.makers[name.text](*arguments))

    def do_global(self, argument: str) -> None:
        self._mention(argument.replace(" ", "."))  # "module name"

    def do_stack_global(self, _: None) -> None:
        self._mention(".".join(self._pop(2)))

    def do_reduce(self, _: None) -> None:
        self._make()

    def do_newobj(self, _: None) -> None:
        self._make()

    def do_build(self, _: None) -> None:
        """Give an object its state. A dict's attributes (torch's `_metadata`) are left out."""
        (state,) = self._pop(1)
        if isinstance(self.stack[-1], Record):
            self.stack[-1].state = state
        elif not isinstance(self.stack[-1], dict):
            raise PickleError(f"its pickle wants to change a {type(self.stack[-1]).__name__}")

    def do_binpersid(self, _: None) -> None:
        self.stack.append(self.stored(*self._pop(1)))

    # ---- containers

    def do_mark(self, _: None) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def do_tuple(self, _: None) -> None:
        values = self._since_mark()
        self.stack.append(tuple(values))

    def do_append(self, _: None) -> None:
        (value,) = self._pop(1)
        self._last(list).append(value)

    def do_appends(self, _: None) -> None:
        values = self._since_mark()
        self._last(list).extend(values)

    def do_additems(self, _: None) -> None:
        values = self._since_mark()
        self._last(set).update(values)

    def do_setitem(self, _: None) -> None:
        key, value = self._pop(2)
        self._last(dict)[key] = value

    def do_setitems(self, _: None) -> None:
        values = self._since_mark()
        self._last(dict).update(zip(values[::2], values[1::2], strict=True))

    def _last(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise PickleError(f"its pickle wants to fill a {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    # ---- memory, and what says nothing

    def do_binput(self, index: int) -> None:
        self.memory[index] = self.stack[-1]

    do_long_binput = do_binput

    def do_memoize(self, _: None) -> None:
        self.memory[len(self.memory)] = self.stack[-1]

    def do_binget(self, index: int) -> None:
        self.stack.append(self.memory[index])

    do_long_binget = do_binget

    def _nothing(self, _: Any) -> None:
        pass

    do_proto = do_frame = do_stop = _nothing
