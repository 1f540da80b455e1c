"""Which part of a checkpoint holds the weights: training loops keep them under a name, beside optimisers and averages.
Sources: pytorch/ignite, Lightning, timm (state_dict_ema, model_ema), BasicSR and IQA-PyTorch (params, params_ema)."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from robust_iqa_jax.checks import unknown
from robust_iqa_jax.setting_error import SettingError, setting

PLAIN = (
    "state_dict", "model", "params", "model_state_dict", "model_state", "net", "network", "weights", "module",
    "net_state_dict", "netG", "params_net", "backbone",
)  # fmt: skip
"""Names of entries, those as training left them; the first that a file has is taken."""
AVERAGED = (
    "params_ema", "params-ema", "state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "model_state_dict_ema",
    "ema", "module_ema", "net_ema", "weights_ema", "swa_state_dict", "averaged",
)  # fmt: skip
"""Names of entries, of their moving averages; taken where there are no others."""

_AVERAGED = re.compile(r"(^|[._/-])(ema|swa|avg|averaged|teacher)([._/-]|$)", re.IGNORECASE)
_RANK = {name: rank for rank, name in enumerate((*PLAIN, *AVERAGED))}
_NOT_WEIGHTS = ("optim", "sched", "scaler", "callback")
_DEPTH, _VISITED = 4, 100_000


@dataclass(frozen=True)
class Entry:
    """A mapping from names to tensors inside a checkpoint.

    Attributes:
      name: path to it, "model/state_dict"; "" for the whole file.
      values: the mapping; what is not a tensor is still in it.
      others: paths of mappings with the same names, as of averaged weights.
    """

    name: str
    values: Mapping[str, Any]
    others: tuple[str, ...] = ()


def find_entry(top: Mapping[Any, Any], is_tensor: Callable[[Any], bool], wanted: str = "") -> Entry | None:
    """The weights of a checkpoint; None where nothing in it is a tensor.

    Args:
      top: what the file holds.
      is_tensor: tells tensors from other values.
      wanted: path of an entry, its last name, or a prefix of tensors' names; "" takes the first of PLAIN that there is,
        else the first of AVERAGED, else the file's own top, else the only one.

    Raises:
      ValueError: no such entry, or several under names that say nothing.
    """
    found = dict(_entries(top, is_tensor))
    if wanted:
        named = [path for path in found if wanted in (path, path.rsplit("/", 1)[-1])]
        if named:
            return _entry(named[0], found)
        for path, values in found.items():
            if part := under_prefix(values, wanted):
                return Entry(f"{path}/{wanted}".lstrip("/"), part)
        raise ValueError(unknown("entry", wanted, [path or "(top)" for path in found]))
    if not found:
        return None
    known = [path for path in found if path and all(name in _RANK for name in path.split("/"))]
    if known:
        return _entry(min(known, key=lambda path: [_RANK[name] for name in path.split("/")]), found)
    sizes = {path: sum(map(is_tensor, values.values())) for path, values in found.items()}
    first, *rest = sorted(found, key=lambda path: (-sizes[path], path.count("/"), path))
    if rest and first and sizes[rest[0]] * 2 > sizes[first]:
        cure = f"choose one with {setting('entry')}"
        raise SettingError(f"holds several sets of weights: {', '.join(sorted(found))}; {cure}")
    return _entry(first, found)


def under_prefix(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What stands under "PREFIX." or "PREFIX/", by the rest of the names."""
    starts = (f"{prefix}.", f"{prefix}/")
    return {name[len(prefix) + 1 :]: value for name, value in tensors.items() if str(name).startswith(starts)}


def is_averaged(prefix: str) -> bool:
    """Whether a prefix of names says that these weights are a moving average: "model_ema." or "teacher."."""
    return _AVERAGED.search(prefix) is not None


def _entry(path: str, found: Mapping[str, Mapping[str, Any]]) -> Entry:
    names = set(found[path])
    others = tuple(other for other in found if other != path and len(names & set(found[other])) * 2 > len(names))
    return Entry(path, found[path], others)


def _entries(top: Mapping[Any, Any], is_tensor: Callable[[Any], bool]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Every mapping that has tensors under names, by its path; optimisers' and the like are not looked into."""
    waiting: list[tuple[tuple[str, ...], Mapping[Any, Any]]] = [((), top)]
    seen: set[int] = set()
    for path, values in waiting:  # grows while it is gone through
        if id(values) in seen or len(seen) > _VISITED:
            continue
        seen.add(id(values))
        if any(isinstance(name, str) and is_tensor(value) for name, value in values.items()):
            yield "/".join(path), {name: value for name, value in values.items() if isinstance(name, str)}
        for name, value in values.items():
            inside = isinstance(name, str) and isinstance(value, dict) and len(path) < _DEPTH
            if inside and not any(part in name.lower() for part in _NOT_WEIGHTS):
                waiting.append(((*path, name), value))
