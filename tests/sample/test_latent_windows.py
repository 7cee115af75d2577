"""Which frames the model is shown, window after window."""

import pytest
import torch

import tenku
from tenku.sample.windows import latent
from tenku.sample.windows.latent import leading, next_window

MOST = 12


def mask(text: str) -> torch.Tensor:
    """k: known, a dot: to be made."""
    return torch.tensor([letter == "k" for letter in text])


@pytest.mark.parametrize(
    "frames, done, shown",
    [
        ("." * 12, 0, (0, 12)),  # a clip of one window
        ("." * 30, 12, (6, 18)),  # onwards: half is history
        ("kkkkkk......", 6, (0, 12)),  # extend
        ("kkkkkkkkk...", 9, (0, 12)),  # all of it is seen, where it fits
        ("kkkkkk......kkkkkk", 6, (3, 15)),  # inserted: as much before as after
        ("k..k........", 1, (0, 12)),  # cards within one window
        ("kkkkkk........kkkkkk", 6, (4, 16)),
        ("............kkkkkk", 0, (0, 10)),  # two are left, which see both sides
        ("............kkkkkk", 10, (5, 17)),
        ("kkkkkk....................kkkk", 6, (0, 12)),  # too far to be seen yet
        ("kkkkkk......k", 6, (1, 13)),  # only one frame follows: the others are history
    ],
)
def test_windows(frames, done, shown):
    part = next_window(mask(frames), done, MOST)
    assert (part.start, part.stop) == shown


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 12])
def test_what_is_made_always_leads_up_to_what_is_given(most):
    generator = torch.Generator().manual_seed(most)
    for length in range(1, 60):
        # Runs of known and unknown frames, each of 1 to 25.
        runs = torch.randint(1, 26, (length,), generator=generator)
        known = torch.arange(length).repeat_interleave(runs)[:length] % 2 == length % 2
        done = 0
        while done < length:
            if there := leading(known[done:]):
                done += there
                continue
            part = next_window(known, done, most)
            assert 0 <= part.start <= done < part.stop <= length and part.stop - part.start <= most
            gap_end = done + leading(~known[done:])
            if part.stop >= gap_end < length:
                assert part.stop > gap_end or most < 5  # it looks at what follows, if it is wide enough to
            done = part.stop


def test_after_made_frames_there_is_less_guidance_and_some_noise(tiny_folder, monkeypatch):
    pipeline = tenku.load(tiny_folder, device="cpu")
    windows = pipeline.windows
    make, asked, noise = windows.inpaint_frames, [], latent.HISTORY_NOISE

    def watched(request, latents, mask, noise_level=0.0, **more):
        levels = [round(level, 6) for level in torch.as_tensor(noise_level).expand(len(mask))[mask].tolist()]
        asked.append((request.params.guidance_scale, levels, request.seed))
        return make(request, latents, mask, noise_level, **more)

    monkeypatch.setattr(windows, "inpaint_frames", watched)
    request = pipeline.request("a red ball", seconds=5, guidance=4.0, steps=1, seed=3)
    latents, known = windows.nothing_given(request)
    for _ in windows.continue_forward(request, latents, known):
        pass
    assert asked == [(4.0, [], 3), (2.5, [noise] * 6, 15), (2.5, [noise] * 6, 21)]
    asked.clear()
    for _ in windows.continue_forward(request, latents, known, frames_fn=lambda part: lambda condition: condition):
        pass  # a remix or a storyboard: what was made does not show yet what is asked
    assert [scale for scale, *_ in asked] == [4.0, 4.0, 4.0]
    asked.clear()
    windows.extend_backward(request, latents[:, :, :6], 9)
    assert asked == [(4.0, [0] * 6, 3), (2.5, [noise] * 6, 9)]
    asked.clear()
    known[:6] = known[-3:] = True
    for _ in windows.continue_forward(request, latents, known):
        pass  # what is given at the end is shown as it is, beside what was made
    assert asked[-1] == (2.5, [noise] * 4 + [0] * 3, 15)
