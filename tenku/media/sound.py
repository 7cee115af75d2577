"""Sound of video files: read, cut, laid beside the frames of a new video. An array int16 N 2 at 48 kHz, stereo."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from tenku.media.container import opened
from tenku.media.picture import is_picture

RATE = 48_000
FADE = RATE // 200  # samples over which sound comes and goes where it is cut, so that it does not click
Sound = np.ndarray


def read_sound(path: str | Path, start: float, seconds: float) -> Sound | None:
    """Read `seconds` of a file's sound from `start` on, both in seconds of the file's own time; None: it has none.

    Other rates and channels are brought to stereo at 48 kHz, what is missing is silence. What cannot be decoded is
    silence too: frames are what a clip is about.
    """
    path = Path(path)
    with path.open("rb") as file:
        if is_picture(file.read(64)):
            return None
    sound = silence(seconds)
    with opened(path) as container:
        streams = [each for each in container.streams.audio if each.codec_context is not None]
        if not streams:
            return None
        heard = False
        for at, samples in decoded(container, container.streams.best("audio") or streams[0]):
            first = round((at - start) * RATE)
            if first >= len(sound):
                break
            heard |= put(sound, first, samples)
    return sound if heard else None


def decoded(container: Any, stream: Any) -> Iterator[tuple[float, Sound]]:
    """(seconds, samples) of an audio stream up to where it ends or breaks off."""
    resampler = av.AudioResampler(format="s16", layout="stereo", rate=RATE)
    with suppress(FFmpegError):
        for frame in container.decode(stream):
            at = frame.time
            for each in resampler.resample(frame):
                yield (each.time if each.time is not None else at) or 0.0, each.to_ndarray().reshape(-1, 2)
        for each in resampler.resample(None):
            if each.time is not None:
                yield each.time, each.to_ndarray().reshape(-1, 2)


def put(sound: Sound, first: int, samples: Sound) -> bool:
    """Write samples into a sound from a place on, which may lie before its start; whether any of them fell into it."""
    samples = samples[max(0, -first) :][: max(0, len(sound) - max(0, first))]
    sound[max(0, first) : max(0, first) + len(samples)] = samples
    return bool(len(samples))


def silence(seconds: float) -> Sound:
    return np.zeros((round(seconds * RATE), 2), np.int16)


def cut(sound: Sound, start: float, seconds: float) -> Sound:
    """`seconds` of a sound from `start` on, silence where it has ended; inner ends fade."""
    first, count = round(start * RATE), round(seconds * RATE)
    part = np.zeros((count, 2), np.int16)
    taken = sound[first : first + count].astype(np.float32)
    fade = min(FADE, len(taken) // 2)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)[:, None]
    if first > 0 and fade:
        taken[:fade] *= ramp
    if first + count < len(sound) and fade:
        taken[-fade:] *= ramp[::-1]
    part[: len(taken)] = taken.round()
    return part


def beside(frames: int, fps: float, pieces: Iterable[tuple[int, Sound | None]]) -> Sound | None:
    """The sound of a video of so many frames: pieces (the frame where it begins, sound), silence elsewhere.

    None where no piece has any.
    """
    heard = [(at, sound) for at, sound in pieces if sound is not None]
    if not heard:
        return None
    whole = silence(frames / fps)
    for at, sound in heard:
        put(whole, round(at / fps * RATE), sound)
    return whole
