"""model.json of a model folder: frame rate, sizes and length of the videos, and default sampling parameters."""

import json
from dataclasses import dataclass
from pathlib import Path

from tenku.system.files import read_json

SOLVERS = ("euler", "multistep", "heun", "unipc")
KNOWN = ("any", "first", "none")  # which frames can be shown to a model as clean conditioning frames


@dataclass(frozen=True)
class SamplingParams:
    """Sampling parameters: steps, classifier-free guidance, timestep shift and solver.

    guidance_rescale: 0 to 1, how far the standard deviation of the guided prediction is brought back to that of the
    prompt alone (`sample.guidance.rescaled`). num_train_timesteps: discrete timesteps of the weights' training, None
    for continuous ones (`flow.schedule`). guidance_scale_2: of the second of two experts, None for the same (both as
    in diffusers). ValueError: a value out of range.
    """

    num_steps: int = 8
    guidance_scale: float = 3.0
    shift: float = 3.0
    solver: str = "multistep"
    guidance_rescale: float = 0.0
    num_train_timesteps: int | None = None
    guidance_scale_2: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.num_steps <= 1000:
            raise ValueError(f"steps must be between 1 and 1000, got {self.num_steps}")
        for scale in (self.guidance_scale, self.guidance_scale_2 or 0):
            if not 0 <= scale <= 50:
                raise ValueError(f"guidance must be between 0 and 50, got {scale}")
        if not 0.01 <= self.shift <= 100:
            raise ValueError(f"shift must be between 0.01 and 100, got {self.shift}")
        if self.solver not in SOLVERS:
            raise ValueError(f"unknown solver {self.solver!r}; choose one of {', '.join(SOLVERS)}")
        if not 0 <= self.guidance_rescale <= 1:
            raise ValueError(f"guidance_rescale must be between 0 and 1, got {self.guidance_rescale}")


@dataclass(frozen=True)
class ModelSettings:
    """model.json of a model folder.

    sizes: (width, height) in pixels that the weights were trained on. max_frames: of one clip at `fps`. known: which
    frames can be clean conditioning frames: "any", the "first" or "none". negative: the default negative prompt.
    """

    name: str
    fps: float = 16
    sizes: tuple[tuple[int, int], ...] = ((128, 128),)
    max_frames: int = 48
    defaults: SamplingParams = SamplingParams()
    known: str = "any"
    negative: str = ""

    def save(self, folder: str | Path) -> None:
        """Write FOLDER/model.json."""
        values = {
            "name": self.name,
            "fps": self.fps,
            "sizes": [list(size) for size in self.sizes],
            "max_frames": self.max_frames,
            "known": self.known,
            "negative": self.negative,
            "defaults": {
                "steps": self.defaults.num_steps,
                "guidance": self.defaults.guidance_scale,
                "rescale": self.defaults.guidance_rescale,
                "shift": self.defaults.shift,
                "solver": self.defaults.solver,
                "levels": self.defaults.num_train_timesteps,
                "low_guidance": self.defaults.guidance_scale_2,
            },
        }
        (Path(folder) / "model.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "ModelSettings":
        """Read FOLDER/model.json. ValueError: it is missing, or a value is missing or out of range."""
        path = Path(folder) / "model.json"
        if not path.is_file():
            raise ValueError(f"{folder} is not a model folder: it has no model.json")
        try:
            values = read_json(path)
            asked = values["defaults"]
            defaults = SamplingParams(
                num_steps=int(asked["steps"]),
                guidance_scale=float(asked["guidance"]),
                guidance_rescale=float(asked.get("rescale", 0)),
                shift=float(asked["shift"]),
                solver=str(asked.get("solver", SamplingParams.solver)),
                num_train_timesteps=None if asked.get("levels") is None else int(asked["levels"]),
                guidance_scale_2=None if asked.get("low_guidance") is None else float(asked["low_guidance"]),
            )
            sizes = tuple((int(width), int(height)) for width, height in values["sizes"])
            known, negative = str(values.get("known", "any")), str(values.get("negative", ""))
            frames = int(values["max_frames"])
            settings = cls(str(values["name"]), float(values["fps"]), sizes, frames, defaults, known, negative)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not as it should be: {type(error).__name__} {error}") from None
        if not sizes or settings.fps <= 0 or settings.max_frames < 1:
            raise ValueError(f"{path} must name at least one size, fps above 0 and max_frames of at least 1")
        if settings.known not in KNOWN:
            raise ValueError(f"{path}: known must be one of {', '.join(KNOWN)}, got {settings.known!r}")
        return settings
