"""Somebody's own clips: every form of captions is found, every kind of file becomes what a model takes."""

import json

import numpy as np
import pytest
from PIL import Image

from tenku.cli import main
from tenku.data.source import clips
from tenku.data.user_clips import find_clips, prepare
from tenku.media.clip import Clip
from tenku.model.settings import ModelSettings
from tenku.system.files import write_json

MODEL = ModelSettings("m", 16, ((32, 32), (48, 32)), 16)


def write(path, count=8, size=(64, 64), fps=16.0, brightness=100):
    width, height = size
    frames = np.full((count, height, width, 3), brightness, np.uint8)
    frames[:] += np.arange(count, dtype=np.uint8)[:, None, None, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    Clip(frames, fps).save(path)


def found_in(folder):
    return {clip.path.name: clip.captions for clip in find_clips(folder).clips}


def test_captions_beside_the_clips(tmp_path):
    write(tmp_path / "a.mp4")
    write(tmp_path / "deeper" / "b.mp4")
    write(tmp_path / "c.mp4")
    (tmp_path / "a.txt").write_text("\ufeffa  red\tkite\n\n一只风筝\na kite\na kite\n", encoding="utf-8")
    (tmp_path / "deeper" / "b.txt").write_text("a boat", encoding="utf-8")
    assert found_in(tmp_path) == {
        "a.mp4": {"en": ["a red kite", "a kite"], "zh": ["一只风筝"]},
        "b.mp4": {"en": ["a boat"]},
    }
    assert find_clips(tmp_path).uncaptioned == ["c.mp4"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "metadata.jsonl",
            '{"file_name": "a.mp4", "text": "a kite"}\n{"file_name": "in/b.mp4", "text": ["b", "博"]}\n',
        ),
        ("metadata.csv", 'file_name,text\na.mp4,a kite\nin/b.mp4,"b"\nin/b.mp4,博\n'),
        ("metadata.csv", '\ufefffile_name, text\r\na.mp4, "a\nkite"\r\nin\\b.mp4, b\r\nin/b.mp4, 博\r\n'),
        ("meta.json", '[{"file": "a.mp4", "caption": "a kite"}, {"video": "./in/b.mp4", "prompt": ["b", "博"]}]'),
    ],
)
def test_captions_in_a_table(tmp_path, name, text):
    write(tmp_path / "a.mp4")
    write(tmp_path / "in" / "b.mp4")
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert found_in(tmp_path) == {"a.mp4": {"en": ["a kite"]}, "b.mp4": {"en": ["b"], "zh": ["博"]}}


@pytest.mark.parametrize(
    ("text", "captions"),
    [
        ("A red kite in the wind\nover green hills.", ["A red kite in the wind over green hills."]),
        ("A red kite.\nA kite in the\nwind.", ["A red kite.", "A kite in the wind."]),
        ("a kite\na red kite", ["a kite", "a red kite"]),
        ("A kite\nA red kite.", ["A kite", "A red kite."]),
        ("A red kite flies\nhigh.\n\na kite\na boat", ["A red kite flies high.", "a kite", "a boat"]),
    ],
)
def test_a_caption_that_is_wrapped_is_one(tmp_path, text, captions):
    write(tmp_path / "a.mp4")
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    assert found_in(tmp_path) == {"a.mp4": {"en": captions}}


def test_a_chinese_caption_that_is_wrapped(tmp_path):
    write(tmp_path / "a.mp4")
    (tmp_path / "a.txt").write_text("一只红色的风筝\n在天上飞。\n", encoding="utf-8")
    assert found_in(tmp_path) == {"a.mp4": {"zh": ["一只红色的风筝在天上飞。"]}}


@pytest.mark.parametrize("field", ["video_path", "media_path", "file_path", "path"])
def test_absolute_paths_and_links(tmp_path, field, monkeypatch):
    """Of a folder that is named as seen from here, and that is a link itself."""
    write(tmp_path / "disk" / "a.mp4")
    write(tmp_path / "elsewhere" / "b.mp4")
    (tmp_path / "disk" / "b.mp4").symlink_to(tmp_path / "elsewhere" / "b.mp4")
    (tmp_path / "clips").symlink_to(tmp_path / "disk")
    rows = [
        {field: str(tmp_path / "clips" / "a.mp4"), "caption": "a"},
        {field: str(tmp_path / "elsewhere" / "b.mp4"), "caption": "b"},
        {field: str(tmp_path / "clips" / "c.mp4"), "caption": "c"},
    ]
    (tmp_path / "disk" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.chdir(tmp_path)
    assert found_in("clips") == found_in(tmp_path / "disk") == {"a.mp4": {"en": ["a"]}, "b.mp4": {"en": ["b"]}}
    assert find_clips("clips").unmatched == ["c.mp4"]


def test_lists_of_videos_and_prompts(tmp_path):
    write(tmp_path / "videos" / "a.mp4")
    write(tmp_path / "videos" / "b.mp4")
    (tmp_path / "videos.txt").write_text("videos/a.mp4\nvideos/b.mp4\n")
    (tmp_path / "prompts.txt").write_text("a kite\na boat\n")
    assert found_in(tmp_path) == {"a.mp4": {"en": ["a kite"]}, "b.mp4": {"en": ["a boat"]}}
    (tmp_path / "prompts.txt").write_text("a kite\n")
    with pytest.raises(ValueError, match=r"videos.txt has 2 lines and prompts.txt 1: want one for each clip"):
        find_clips(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        '{"file_name": "a.mp4",\n "text": "a kite"}\n{"file_name": "b.mp4",\n "text": "a boat"}\n',
        '{"file_name": "a.mp4", "text": "a\nkite"}\r\n\r\n{"file_name": "b.mp4", "text": "a\r\nboat"}',
        '[{"file_name": "a.mp4", "text": "a kite"},\n{"file_name": "b.mp4", "text": "a boat"}]',
    ],
)
def test_lines_of_json_that_are_no_lines(tmp_path, text):
    write(tmp_path / "a.mp4")
    write(tmp_path / "b.mp4")
    (tmp_path / "metadata.jsonl").write_bytes(text.encode())
    assert found_in(tmp_path) == {"a.mp4": {"en": ["a kite"]}, "b.mp4": {"en": ["a boat"]}}


def test_tables_in_folders_below_accents_and_rows_without_a_clip(tmp_path):
    composed, apart = "café.mp4", "cafe\u0301.mp4"
    write(tmp_path / "train" / apart)
    rows = [
        {"file_name": composed, "text": "a café"},
        {"file_name": "gone.mp4", "text": "gone"},
        {"file_name": "x.mp4"},
    ]
    (tmp_path / "train" / "metadata.jsonl").write_text("\n\n".join(map(json.dumps, rows)) + "\n  \n")
    found = find_clips(tmp_path)
    assert [clip.captions for clip in found.clips] == [{"en": ["a café"]}]
    assert found.unmatched == ["train/gone.mp4", "train/x.mp4"]


def test_hidden_files_are_passed_over(tmp_path):
    write(tmp_path / "a.mp4")
    (tmp_path / "a.txt").write_text("a kite")
    for name in ("._a.mp4", "._a.txt", "__MACOSX/a.mp4", ".cache/metadata.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07\xff")
    assert found_in(tmp_path) == {"a.mp4": {"en": ["a kite"]}} and not find_clips(tmp_path).uncaptioned


def test_clips_of_the_world_bring_their_captions(tmp_path):
    write(tmp_path / "0.mp4")
    (tmp_path / "0.json").write_text(json.dumps({"captions": {"en": ["a ball"], "zh": ["一个球"]}}), encoding="utf-8")
    assert found_in(tmp_path) == {"0.mp4": {"en": ["a ball"], "zh": ["一个球"]}}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("metadata.jsonl", '{"text": "a kite"}', "metadata.jsonl, row 1: names no file: file_name, file, video"),
        ("metadata.jsonl", "a.mp4 a kite", "metadata.jsonl is not JSONL"),
        ("metadata.json", '{"a.mp4": "a kite"}', "should hold objects"),
        ("metadata.csv", "file_name,text\na.mp4,a kite, high up\n", "row 1: too many fields"),
        ("metadata.csv", 'file_name,text\na.mp4,"a kite\n', "metadata.csv is not CSV: unexpected end of data"),
        ("metadata.jsonl", '{"file": "a.mp4", "text": {"en": "a kite"}}', "row 1: a caption is a text or a list"),
        ("a.json", '{"captions": {"en": [null]}}', "a.json: a caption is a text or a list"),
        ("a.txt", b"\xff\xfea\x00", "a.txt is not UTF-8"),
        ("a.txt", " \n", "none of the 1 clips"),
    ],
)
def test_wrong_captions_are_named(tmp_path, name, text, said):
    write(tmp_path / "a.mp4")
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=said):
        find_clips(tmp_path)


def test_the_runs_own_folder_is_not_read(tmp_path):
    write(tmp_path / "a.mp4")
    write(tmp_path / "run" / "clips" / "b.mp4")
    for path in (tmp_path / "a.txt", tmp_path / "run" / "clips" / "b.txt"):
        path.write_text("a kite")
    found = find_clips(tmp_path, without=[tmp_path / "run" / "clips"])
    assert [clip.path.name for clip in found.clips] == ["a.mp4"] and not found.uncaptioned


def test_a_folder_without_clips_is_named(tmp_path):
    with pytest.raises(ValueError, match="holds no clips or pictures"):
        find_clips(tmp_path)


def prepared(tmp_path):
    wrong = prepare(find_clips(tmp_path / "own").clips, tmp_path / "own", tmp_path / "out", MODEL)
    return clips(tmp_path / "out"), wrong


def test_clips_take_the_models_size_rate_and_length(tmp_path):
    own = tmp_path / "own"
    write(own / "long.mp4", count=88, size=(128, 64), fps=32)  # 44 frames at 16 a second: 16, 16 and 12
    write(own / "rest.mp4", count=20)  # 16, and 4 that are too few
    write(own / "loop.gif", count=5, fps=10)
    Image.new("RGB", (200, 210), (200, 30, 30)).save(own / "still.jpg")
    for name in ("long", "rest", "loop", "still"):
        (own / f"{name}.txt").write_text(f"a {name}")
    samples, wrong = prepared(tmp_path)
    shapes = sorted((sample.truth["source"], sample.frames().shape[:3]) for sample in samples)
    assert shapes == [
        ("long.mp4", (12, 32, 48)),
        ("long.mp4", (16, 32, 48)),
        ("long.mp4", (16, 32, 48)),
        ("loop.gif", (8, 32, 32)),
        ("rest.mp4", (16, 32, 32)),
        ("still.jpg", (1, 32, 32)),
    ]
    assert not wrong and len({sample.seed for sample in samples}) == 6
    pieces = [sample for sample in samples if sample.truth["source"] == "long.mp4"]
    brightness = [sample.frames().mean() for sample in sorted(pieces, key=lambda sample: sample.seed)]
    assert brightness[0] < brightness[1]  # in their order


def test_a_second_time_only_what_is_new_is_made(tmp_path):
    own = tmp_path / "own"
    for name in ("a", "b"):
        write(own / f"{name}.mp4")
        (own / f"{name}.txt").write_text(name)
    before = {sample.path: sample.path.stat().st_mtime_ns for sample in prepared(tmp_path)[0]}
    (own / "a.txt").write_text("another caption")
    (own / "b.mp4").unlink()
    write(own / "c.mp4")
    (own / "c.txt").write_text("c")
    samples, _ = prepared(tmp_path)
    by_source = {sample.truth["source"]: sample for sample in samples}
    assert sorted(by_source) == ["a.mp4", "c.mp4"]
    assert by_source["a.mp4"].truth["captions"] == {"en": ["another caption"]}
    assert before[by_source["a.mp4"].path] == by_source["a.mp4"].path.stat().st_mtime_ns
    assert by_source["c.mp4"].path not in before


def test_a_caption_changed_in_part_by_a_kill_is_changed_again(tmp_path, monkeypatch):
    own = tmp_path / "own"
    write(own / "a.mp4", count=32)
    (own / "a.txt").write_text("before")
    prepared(tmp_path)
    (own / "a.txt").write_text("after")
    written = []

    def killed(path, value, indent=1):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write_json(path, value, indent)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tenku.data.user_clips.write_json", killed)
        prepared(tmp_path)
    assert [sample.truth["captions"]["en"] for sample in prepared(tmp_path)[0]] == [["after"], ["after"]]


def test_what_else_lies_in_the_runs_folder_stays(tmp_path):
    write(tmp_path / "own" / "a.mp4")
    (tmp_path / "own" / "a.txt").write_text("a kite")
    write(tmp_path / "out" / "2024-05-01.mp4")
    with pytest.raises(ValueError, match="holds other clips .2024-05-01.mp4.: choose another folder"):
        prepared(tmp_path)
    (tmp_path / "out" / "2024-05-01.mp4").rename(tmp_path / "out" / "my-holiday.mov")
    prepared(tmp_path)
    assert (tmp_path / "out" / "my-holiday.mov").is_file()


def test_another_kind_of_model_takes_other_pieces(tmp_path):
    write(tmp_path / "a.mp4")
    (tmp_path / "a.txt").write_text("a kite")
    clip = find_clips(tmp_path).clips[0]
    assert clip.key(tmp_path, MODEL) != clip.key(tmp_path, ModelSettings("m", 16, ((64, 64),), 16))


def test_files_of_other_kinds_are_named_where_they_have_a_caption(tmp_path):
    write(tmp_path / "a.mp4")
    for name in ("a.txt", "b.txt", "readme.txt", "b.avi", "c.avi", "a.npz"):
        (tmp_path / name).write_text("a kite")
    (tmp_path / "notes.pdf").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"caf\xe9")
    assert find_clips(tmp_path).unsupported == ["b.avi", "notes.pdf"]
    with pytest.raises(ValueError, match="is where the run keeps what it makes of clips"):
        find_clips(tmp_path / "clips", without=[tmp_path / "clips"])


def test_files_that_cannot_be_read_are_named_and_left_out(tmp_path):
    own = tmp_path / "own"
    write(own / "good.mp4")
    (own / "bad.mp4").write_bytes(b"no video at all")
    for name in ("good", "bad"):
        (own / f"{name}.txt").write_text(name)
    samples, wrong = prepared(tmp_path)
    assert [sample.truth["source"] for sample in samples] == ["good.mp4"]
    assert len(wrong) == 1 and "bad.mp4" in wrong[0]
    (own / "good.mp4").unlink()
    with pytest.raises(ValueError, match="none of the clips can be read"):
        prepared(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name what to train on"),
        (["--latents", "l", "--clips", "c"], "name what to train on"),
        (["--clips", "c"], "--clips needs a model to start from"),
        (["--clips", "nowhere", "--from", "embedded"], "there is no clip folder nowhere"),
        (["--clips", ".", "--from", "unheard-of"], "no model folder unheard-of"),
        (["--clips", ".", "--from", "."], "has no text encoder of ours"),
        (["--clips", ".", "--from", "embedded"], "holds no clips or pictures"),
    ],
)
def test_what_to_train_on_must_be_clear(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--out", "run", "--steps", "1", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.safetensors"))
