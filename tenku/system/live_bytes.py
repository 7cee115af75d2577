"""Count the bytes of all tensors that are alive: on the meta device, a dry run without memory."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors made within it that are alive: `now`, and `peak` at the worst moment."""

    def __init__(self, others: Iterable[Tensor] = ()) -> None:
        """others: tensors from before, which are not counted when a view of them is made."""
        super().__init__()
        self.now = self.peak = 0
        self._alive = {each.untyped_storage()._cdata for each in others}

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                if storage._cdata not in self._alive:
                    self._alive.add(storage._cdata)
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return result

    def _gone(self, storage: int, size: int) -> None:
        self._alive.discard(storage)
        self.now -= size


@contextmanager
def counting() -> Iterator[LiveBytes]:
    with LiveBytes() as live, torch.inference_mode():
        yield live
