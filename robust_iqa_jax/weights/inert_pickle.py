"""An interpreter of pickles that calls nothing: what is not known by name leaves a note of what it would have been.
Source: the opcodes as Python's pickletools documents them (protocols 0 to 5)."""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, cast

_LARGEST_READ = 1 << 28
"""Bytes of one string; a longer one is no part of a checkpoint."""
_LONGEST_LINE = 1 << 16
_MOST_OPERATIONS = 10_000_000
"""Each may make an object of some 60 bytes; a state dict takes about 40 a tensor."""

_VALUES = frozenset(
    ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
     "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE",
     "BINUNICODE", "BINUNICODE8")
)  # fmt: skip
"""Opcodes that bring a value of their own."""
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": lambda: Unread("builtins.set"),
}
_SMALL_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_KEYS = (str, int, float, bytes, type(None))
"""Types of keys that are kept. Hashing a tuple runs as deep as it is nested, which a file can use to crash Python."""


class Reader:
    """A view of bytes as the file that pickletools reads, which gives no more than a checkpoint needs at a time."""

    def __init__(self, data: memoryview, position: int = 0):
        self.data, self.position = data, position

    def read(self, size: int) -> bytes:
        """The next bytes, fewer at the end."""
        if size > _LARGEST_READ:
            raise ValueError(f"a string of {size} bytes")
        self.position += size
        return bytes(self.data[self.position - size : self.position])

    def readline(self) -> bytes:
        """Up to the next end of a line."""
        line, end, _ = bytes(self.data[self.position : self.position + _LONGEST_LINE]).partition(b"\n")
        self.position += len(line) + len(end)
        return line + end


@dataclass(frozen=True)
class Global:
    """A class or function that a pickle names. It is not looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Unread:
    """Where a pickle would have called or filled something: `origin` says what.

    Attributes:
      origin: "argparse.Namespace", say.
      is_module: whether it was filled as a torch.nn.Module is.
    """

    def __init__(self, origin: str):
        self.origin, self.is_module = origin, False

    def filled(self, state: Any) -> None:
        """Note the kind of state that it would have got."""
        self.is_module = isinstance(state, dict) and {"_parameters", "_modules"} <= state.keys()


class Filled:
    """An object that a maker returned and that takes a state: `filled(state)`."""

    def filled(self, state: Any) -> None:
        """Take what the pickle would have handed to __setstate__."""
        raise NotImplementedError


Makers = Mapping[tuple[str, str], Callable[..., Any]]


def read_pickle(reader: Reader, makers: Makers, persistent: Callable[[Any], Any]) -> Any:
    """The object that a pickle describes, made of plain values, lists, tuples, dicts, and what `makers` return.

    Args:
      reader: at the pickle's first byte; left behind its last.
      makers: (module, name) -> what to do instead of calling it; nothing else is called, looked up or imported.
      persistent: persistent id -> object.

    Raises:
      whatever damaged bytes lead to, of ValueError, KeyError, IndexError, TypeError and UnicodeError; the makers' own.
    """
    stack: list[Any] = []
    below: list[list[Any]] = []
    memo: dict[int, Any] = {}

    def marked() -> list[Any]:
        nonlocal stack
        items, stack = stack, below.pop()
        return items

    source = cast(IO[bytes], reader)
    for count, (opcode, argument, _) in enumerate(pickletools.genops(source)):
        if count > _MOST_OPERATIONS:
            raise ValueError(f"more than {_MOST_OPERATIONS} operations")
        name = opcode.name
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[cast(int, argument)] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[cast(int, argument)])
        elif name == "MARK":
            below.append(stack)
            stack = []
        elif name in _SMALL_TUPLES:
            size = _SMALL_TUPLES[name]
            stack[-size:] = [tuple(stack[-size:])]
        elif name in ("TUPLE", "LIST", "DICT", "FROZENSET"):
            items = marked()
            stack.append(
                tuple(items)
                if name == "TUPLE"
                else items
                if name == "LIST"
                else _set({}, items)
                if name == "DICT"
                else Unread("builtins.frozenset")
            )
        elif name in ("APPEND", "APPENDS"):
            items = marked() if name == "APPENDS" else [stack.pop()]
            if isinstance(stack[-1], list):
                stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = marked() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _set(stack[-1], items)
        elif name == "ADDITEMS":
            marked()
        elif name in ("POP", "POP_MARK"):
            if name == "POP" and stack:
                stack.pop()
            else:
                marked()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "GLOBAL":
            stack.append(_named(argument))
        elif name == "STACK_GLOBAL":
            module, attribute = stack.pop(-2), stack.pop()
            stack.append(_named(f"{module} {attribute}"))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments = stack.pop()
            stack.append(_called(stack.pop(), arguments, makers))
        elif name == "NEWOBJ_EX":
            stack.pop()
            arguments = stack.pop()
            stack.append(_called(stack.pop(), arguments, makers))
        elif name == "INST":
            stack.append(_called(_named(argument), tuple(marked()), makers))
        elif name == "OBJ":
            items = marked()
            stack.append(_called(items[0], tuple(items[1:]), makers))
        elif name == "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], Unread | Filled):
                stack[-1].filled(state)
        elif name == "BINPERSID":
            stack.append(persistent(stack.pop()))
        elif name == "PERSID":
            stack.append(persistent(argument))
        elif name in ("EXT1", "EXT2", "EXT4"):
            stack.append(Global("copyreg", f"extension {argument}"))
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME", "READONLY_BUFFER"):
            raise ValueError(f"opcode {name}")
    raise ValueError("no end")


def _set(target: Any, items: list[Any]) -> Any:
    if isinstance(target, dict):
        target.update((k, v) for k, v in zip(items[::2], items[1::2], strict=True) if isinstance(k, _KEYS))
    return target


def _named(argument: Any) -> Global:
    module, _, name = str(argument).partition(" ")
    return Global(module, name)


def _called(what: Any, arguments: Any, makers: Makers) -> Any:
    if isinstance(what, Global):
        if maker := makers.get((what.module, what.name)):
            return maker(*arguments)
        return Unread(str(what))
    return Unread(what.origin if isinstance(what, Unread) else type(what).__name__)
