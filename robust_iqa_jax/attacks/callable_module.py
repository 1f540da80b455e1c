"""Modules that make an attack when called: attacks.pgd is the module of that path, and attacks.pgd(eps) an attack.
Otherwise the class, bound over its module's name in the package, would hide the module from `import ... as`."""

import importlib
import inspect
from types import ModuleType
from typing import Any


class AttackModule(ModuleType):
    """A module that stands for the class of its attack wherever that is called, subclassed or asked about.

    Attributes:
      attack: the class.
    """

    attack: type

    @property
    def __signature__(self) -> inspect.Signature:
        """That of the class, for help and completion."""
        return inspect.signature(self.attack)

    def __instancecheck__(self, instance: Any) -> bool:
        """isinstance(x, attacks.pgd)."""
        return isinstance(instance, self.attack)

    def __subclasscheck__(self, kind: type) -> bool:
        """issubclass(kind, attacks.pgd)."""
        return issubclass(kind, self.attack)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type]:
        """The class in place of the module: class Mine(attacks.pgd)."""
        return (self.attack,)

    def __reduce__(self) -> Any:
        """Pickled and copied by its path."""
        return importlib.import_module, (self.__name__,)


def make_callable(module: ModuleType, attack: type) -> ModuleType:
    """The module itself, which from now on makes the attack when called.

    The class is what is called, without a function between: a warning then names the line that makes the attack.
    """
    module.__class__ = type("AttackModule", (AttackModule,), {"attack": attack, "__call__": staticmethod(attack)})
    return module
