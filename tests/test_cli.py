import dataclasses
import functools
import json
import re

import pytest
from PIL import Image

from pipeline import Step, cli, effects, fast

from .conftest import CONTENT, STYLES

PHOTO, WAVE, AUVERS = str(CONTENT / "chelsea.jpg"), str(STYLES / "great_wave.jpg"), str(STYLES / "auvers.jpg")


def test_fast_writes_a_picture_with_its_recipe(tmp_path, capsys):
    out = tmp_path / "out.png"
    assert cli.main(["fast", PHOTO, WAVE, "-o", str(out), "--strength", "0.8", "--size", "128"]) == 0
    image = Image.open(out)
    assert image.size == (128, 85)
    recipe = json.loads(image.text["atelier"])
    assert recipe["effect"] == "fast" and recipe["settings"]["strength"] == 0.8
    assert capsys.readouterr().out.startswith(f"{out}: 128x85 in ")


def test_json_is_one_line_for_scripts(tmp_path, capsys):
    out = tmp_path / "out.jpg"
    argv = ["fast", PHOTO, WAVE, AUVERS, "--out", str(out), "--size", "128", "--style-weights", "1", "2", "--json"]
    assert cli.main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    report = json.loads(lines[0])
    assert len(lines) == 1 and report["out"] == str(out) and (report["width"], report["height"]) == (128, 85)


@pytest.mark.parametrize(
    "argv, words",
    [
        (["nothing.jpg", WAVE, "-o", "OUT/a.png"], "no file"),
        ([PHOTO, WAVE, "-o", "OUT/a.png", "--strength", "7"], "strength"),
        ([PHOTO, "-o", "OUT/a.png"], "1 to 4 paintings"),
        ([PHOTO, WAVE, "-o", "OUT/none/a.png"], "no folder"),
        ([PHOTO, WAVE, "-o", "OUT/a.docx"], "which format"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, argv, words):
    assert cli.main(["fast", *[arg.replace("OUT", str(tmp_path)) for arg in argv]]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and words in error
    assert list(tmp_path.iterdir()) == []


def test_every_setting_of_every_effect_is_an_option_with_its_explanation(capsys):
    for name, module in effects().items():
        with pytest.raises(SystemExit) as stop:
            cli.main([name, "--help"])
        assert stop.value.code == 0
        text = " ".join(capsys.readouterr().out.replace("│", " ").split())
        for field in dataclasses.fields(module.Settings):
            assert re.search(rf"--{field.name.replace('_', '-')}[ ,]", text)
            assert " ".join(field.metadata["info"].split()[:3]) in text


def test_what_is_given_goes_before_a_preset_even_at_its_default(tmp_path, capsys):
    out = tmp_path / "out.png"
    argv = ["pixel", PHOTO, "-o", str(out), "--preset=Newspaper", "--no-stretch", "--width", "128"]
    assert cli.main(argv) == 0
    settings = json.loads(Image.open(out).text["atelier"])["settings"]
    assert settings["preset"] == "Newspaper" and settings["palette"] == "1-bit" and settings["height"] == 256
    assert settings["width"] == 128 and settings["stretch"] is False
    with pytest.raises(SystemExit):
        cli.main(["pixel", PHOTO, "-o", str(out), "--preset", "Papyrus"])
    assert "Papyrus" in capsys.readouterr().err


def test_wrong_usage_is_exit_code_2(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["fast", PHOTO, WAVE])  # no --out
    assert stop.value.code == 2


def test_what_is_read_is_never_overwritten_by_its_result(tmp_path, capsys):
    photo = tmp_path / "same.png"
    Image.open(PHOTO).resize((64, 64)).save(photo)
    before = photo.read_bytes()
    palette = ["pixel", PHOTO, "--palette", "own", "--palette-file", str(photo)]
    for argv in (["fast", str(photo), WAVE], ["fast", PHOTO, WAVE, str(photo)], palette):
        assert cli.main([*argv, "-o", str(photo)]) == 2
        assert "is one of the files to read" in capsys.readouterr().err
    assert photo.read_bytes() == before


def test_what_an_effect_prints_is_kept_apart_from_the_report(tmp_path, monkeypatch, capsys):
    @functools.wraps(fast.run)
    def chatty(**given):
        print("Downloading data from far away")
        yield Step(Image.new("RGB", (64, 64)), 1, 1)

    monkeypatch.setattr(fast, "run", chatty)
    assert cli.main(["fast", PHOTO, WAVE, "-o", str(tmp_path / "out.png"), "--json"]) == 0
    found = capsys.readouterr()
    assert json.loads(found.out)["width"] == 64 and "Downloading" in found.err


@pytest.mark.parametrize(("losses", "code"), [({}, 130), ({"total": 1.0}, 0)])
def test_ctrl_c_keeps_what_an_optimisation_got_to_and_no_preview(tmp_path, monkeypatch, capsys, losses, code):
    @functools.wraps(fast.run)  # the command line reads its parameters
    def interrupted(**given):
        yield Step(Image.new("RGB", (64, 64)), 1, 2, losses)
        raise KeyboardInterrupt

    monkeypatch.setattr(fast, "run", interrupted)
    assert cli.main(["fast", PHOTO, WAVE, "-o", str(tmp_path / "out.png")]) == code
    assert (tmp_path / "out.png").exists() == (code == 0)
    assert (capsys.readouterr().err == "stopped before there was a result\n") == (code != 0)
