"""The README promises what the code does."""

import re
import tomllib

from pipeline import EFFECTS, effects

from .conftest import ROOT

README = (ROOT / "README.md").read_text()


def block(marker):
    return re.search(rf"<!-- {marker} -->\n```sh\n(.*?)\n```", README, re.DOTALL).group(1)


def test_the_front_matter_is_what_a_space_needs():
    front = dict(line.split(": ", 1) for line in README.split("---")[1].splitlines() if re.match(r"\w+: ", line))
    assert front["sdk"] == "gradio" and front["app_file"] == "app.py" and front["python_version"] == '"3.11"'
    pin = re.search(r"gradio\[mcp\]>=([\d.]+),<7", (ROOT / "requirements.txt").read_text()).group(1)
    assert front["sdk_version"].startswith(pin)
    assert len(front["short_description"]) <= 60


def test_two_commands_make_a_virtual_environment_and_use_it():
    assert block("run").endswith("app.py") and block("test").endswith("pytest")
    for command, file in (("run", "requirements.txt"), ("test", "requirements-dev.txt")):
        assert f"pip install -r {file}" in block(command) and "python3 -m venv .venv" in block(command)


def test_every_effect_is_described_and_in_every_way_of_scripting_it():
    for name, module in effects().items():
        assert f"- **{module.TITLE}**" in README
        assert f"python -m pipeline {name} " in README
        assert f'api_name="/{name}"' in README


def test_an_effect_is_two_files():
    for name in EFFECTS:
        assert (ROOT / "pipeline" / f"{name}.py").exists() and (ROOT / "ui" / f"{name}.py").exists()


def test_every_file_that_the_readme_links_to_is_there():
    for link in re.findall(r"\]\(([^)h][^)]*)\)", README):
        assert (ROOT / link).exists(), link


def test_every_bundled_picture_has_its_source():
    sources = (ROOT / "examples" / "SOURCES.md").read_text()
    for path in (ROOT / "examples").rglob("*.jpg"):
        assert path.stem in sources or path.parent.name == "finished", path


def test_the_python_pin_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert (
        project["project"]["requires-python"] == ">=3.11,<3.12" and "Apache License" in (ROOT / "LICENSE").read_text()
    )
