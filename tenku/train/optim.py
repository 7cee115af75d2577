"""The optimizer: Muon for hidden matrices and convolution kernels, AdamW for everything else.

Muon (Jordan 2024; scale 0.2·sqrt(longer side) from Liu et al. 2502.16982) moves a matrix along the
nearest orthogonal matrix of its momentum. The arithmetic is that of `torch.optim.Muon` with
adjust_lr_fn="match_rms_adamw" (a test compares them), but matrices of one shape are orthogonalized
together: one at a time, small products keep neither two busy CPU cores nor a GPU at work (60 matrices of
256 columns on two contended cores: 4.1 s one by one, 0.7 s batched).
"""

import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from tenku.model.precision import fastest_dtype

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
MOMENTUM = 0.95

_NUMBERED_LAYER = re.compile(r"(^|\.)(blocks|layers)\.\d+\.")
_NOT_HIDDEN = re.compile(r"embedding|modulation|(^|[._])(head|patch|proj_out)([._]|$)")


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon should train it: a matrix inside a numbered block, or a convolution kernel.

    Embeddings, modulation tables, time projections, patch layers and heads go to AdamW.
    """
    if _NOT_HIDDEN.search(name):
        return False
    if parameter.ndim == 2:
        return _NUMBERED_LAYER.search(name) is not None
    return parameter.ndim >= 4 and min(parameter.shape[:2]) > 1


def is_hidden(name: str, parameter: Tensor) -> bool:
    """Muon trains the hidden matrices of the transformer; the text encoder is AdamW's."""
    return is_hidden_matrix(name, parameter) and not name.startswith("text.")


def text_lr_mult(name: str, mult: float) -> float:
    """Factor of a parameter's learning rate: `mult` for the text encoder and the embedding of its output, else 1.

    Their gradient is mostly noise until cross-attention reads something, and both optimizers make every update
    full-sized: at the rate of the others they walk away at random and all texts become one vector. Random
    embeddings that differ are enough for cross-attention to begin with. Weights that read already may learn new words
    at the full rate.
    """
    return mult if name.startswith("text.") or "text_embedding" in name else 1.0


def orthogonalize(matrices: Tensor) -> Tensor:
    """Push the singular values of N rows columns (rows ≤ columns) towards 1 by Newton–Schulz.

    bf16 is exact enough; a device that only emulates it computes in float32.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrices.to(torch.bfloat16 if matrices.is_meta else fastest_dtype(matrices.device))
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        gram_update = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, gram_update, x, beta=a)
    return x


class Optimizer:
    """Muon and AdamW as one, over a module, several named modules, or named parameters.

    `step(lr_scale)` multiplies both base rates, so a schedule is one number. `weight_decay` acts on Muon's matrices
    only. `hidden(name, parameter)` decides what Muon trains, `lr_mult(name)` is the factor of `adamw_lr` for one of
    the others. ValueError when there is nothing to train.
    """

    def __init__(
        self,
        modules: nn.Module | Mapping[str, nn.Module] | Iterable[tuple[str, nn.Parameter]],
        *,
        muon_lr: float = 5e-3,
        adamw_lr: float = 1e-3,
        weight_decay: float = 0.01,
        hidden: Callable[[str, Tensor], bool] = is_hidden_matrix,
        lr_mult: Callable[[str], float] = lambda name: 1.0,
    ) -> None:
        if isinstance(modules, nn.Module):
            modules = modules.named_parameters()
        elif isinstance(modules, Mapping):
            modules = nn.ModuleDict(modules).named_parameters()
        named = [(name, parameter) for name, parameter in modules if parameter.requires_grad]
        if not named:
            raise ValueError("nothing to train: no parameter requires a gradient")
        if len({name for name, _ in named}) != len(named):
            raise ValueError("parameter names must differ; give modules as a dict so that each gets a prefix")
        self.parameters = [parameter for _, parameter in named]
        self.muon_lr, self.adamw_lr, self.weight_decay = muon_lr, adamw_lr, weight_decay
        self.matrices = {name: parameter for name, parameter in named if hidden(name, parameter)}
        self.momentum = {name: torch.zeros_like(parameter) for name, parameter in self.matrices.items()}
        self.rest = {name: parameter for name, parameter in named if name not in self.matrices}
        self.adamw: torch.optim.AdamW | None = None
        if self.rest:
            by_mult: dict[float, list[nn.Parameter]] = {}
            for name, parameter in self.rest.items():
                by_mult.setdefault(lr_mult(name), []).append(parameter)
            groups = [{"params": members, "lr_mult": mult} for mult, members in by_mult.items()]
            self.adamw = torch.optim.AdamW(groups, lr=adamw_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def step(self, lr_scale: float = 1.0) -> None:
        """One update from the gradients held by the parameters; those without a gradient stay as they are."""
        if self.adamw is not None:
            for group in self.adamw.param_groups:
                group["lr"] = self.adamw_lr * group["lr_mult"] * lr_scale
            self.adamw.step()
        self._muon_step(self.muon_lr * lr_scale)

    @torch.no_grad()
    def _muon_step(self, lr: float) -> None:
        named = [(name, parameter) for name, parameter in self.matrices.items() if parameter.grad is not None]
        if not named:
            return
        parameters: list[Tensor] = [parameter for _, parameter in named]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        momenta = [self.momentum[name] for name, _ in named]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        for parameter, update in zip(parameters, torch._foreach_lerp(gradients, momenta, MOMENTUM), strict=True):
            update = update.flatten(1)
            if update.shape[0] > update.shape[1]:
                update = update.mT
            by_shape.setdefault((update.shape[0], update.shape[1]), []).append((parameter, update))
        torch._foreach_mul_(parameters, 1 - lr * self.weight_decay)
        for (_, columns), members in by_shape.items():
            updates = orthogonalize(torch.stack([update for _, update in members]))
            turned = [
                (update if parameter.shape[0] == update.shape[0] else update.mT).reshape(parameter.shape)
                for (parameter, _), update in zip(members, updates, strict=True)
            ]
            moved = [parameter for parameter, _ in members]
            torch._foreach_add_(moved, turned, alpha=-lr * 0.2 * columns**0.5)

    def state_dict(self) -> dict[str, Tensor]:
        """Flat, tensors only: `muon.NAME.momentum`, `adamw.NAME.{step,exp_avg,exp_avg_sq}`."""
        state = {f"muon.{name}.momentum": momentum for name, momentum in self.momentum.items()}
        if self.adamw is not None:
            for name, parameter in self.rest.items():
                for key, value in self.adamw.state[parameter].items():
                    state[f"adamw.{name}.{key}"] = value
        return state

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state_dict` gave; ValueError names a tensor that is missing or of another shape."""
        for name, momentum in self.momentum.items():
            momentum.copy_(_expect(state, f"muon.{name}.momentum", momentum.shape))
        if self.adamw is None:
            return
        for name, parameter in self.rest.items():
            if f"adamw.{name}.step" not in state:
                self.adamw.state.pop(parameter, None)  # it never had a gradient
                continue
            own: dict[str, Tensor] = {}
            own["step"] = _expect(state, f"adamw.{name}.step", torch.Size([])).to(parameter.device, copy=True)
            for key in ("exp_avg", "exp_avg_sq"):
                saved = _expect(state, f"adamw.{name}.{key}", parameter.shape)
                own[key] = torch.empty_like(parameter).copy_(saved)
            self.adamw.state[parameter] = own


def _expect(state: Mapping[str, Tensor], key: str, shape: torch.Size) -> Tensor:
    if key not in state:
        raise ValueError(f"the optimizer state lacks {key}: it belongs to another model")
    if state[key].shape != shape:
        found = list(state[key].shape)
        raise ValueError(f"the optimizer state has {key} of shape {found}, not {list(shape)}")
    return state[key]
