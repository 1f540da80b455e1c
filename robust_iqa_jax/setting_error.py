"""An error whose message names settings: as Python spells them, batch_size, or as a command line does, --batch-size.
Its own file, without imports of ours: all rooms raise it, and the commands alone speak of options."""

import re

_MARKED = re.compile("\0(.*?)\0(.*?)\0")  # a zero byte stands in no path and on no command line


def setting(name: str, option: str | None = None) -> str:
    """A setting, to be put into the message of a SettingError.

    Args:
      name: in Python, such as "batch_size".
      option: on a command line; the name with hyphens, "--batch-size", where not given.
    """
    return f"\0{name}\0{option or '--' + name.replace('_', '-')}\0"


class SettingError(ValueError):
    """Its text has the settings that it names as Python spells them; `with_options` tells it to who typed a command.

    Attributes:
      marked: the message as it was given, with each `setting` in both spellings.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_MARKED.sub(r"\1", message))
        self.marked = message


def marked(error: BaseException) -> str:
    """The text of any error, to be put into the message of a SettingError: settings keep both spellings."""
    return error.marked if isinstance(error, SettingError) else str(error)


def with_options(error: BaseException) -> str:
    """The text of any error, settings spelt as on a command line."""
    return _MARKED.sub(r"\2", marked(error))
