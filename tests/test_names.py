"""No name and no path of an option or of the competition file leads out of its folder."""

import re
import shutil

import pytest

from competition.__main__ import main
from competition.errors import InputFault
from competition.project import Project
from competition.workspace import Workspace, plain_name

OUTSIDE = ["../x", "../../../x", "/tmp/x", "a/b", "a\\b", "..", ".hidden", "", "C:x", "a\0b"]


@pytest.fixture
def file(tiny_data, tmp_path, monkeypatch):
    """A copy of the tiny competition's file, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "own"
    folder.mkdir()
    text = (tiny_data / "competition.toml").read_text()
    path = folder / "competition.toml"
    path.write_text(re.sub("root = .*", f'root = "{tiny_data.as_posix()}"', text))
    return path


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_of_files_and_folders_stay_names(name, tmp_path):
    space = Workspace(tmp_path, "demo")
    for place in (space.submission, space.pseudo, lambda member: space.run(member, 0)):
        with pytest.raises(InputFault, match="expected"):
            place(name)
    assert plain_name("member", "unet@quick+seed1+from-unet") == "unet@quick+seed1+from-unet"


@pytest.mark.parametrize("name", [name for name in OUTSIDE if "\0" not in name])
@pytest.mark.parametrize("kind", ["recipes", "variants"])
def test_a_recipe_or_variant_is_no_path(name, kind, file):
    quoted = name.replace("\\", "\\\\")
    file.write_text(f'{file.read_text()}\n[{kind}."{quoted}"]\nbatch = 2\n')
    with pytest.raises(InputFault, match="expected a name without"):
        Project.open(file, file.parent)


@pytest.mark.parametrize(
    "words",
    [
        ["vote", "a.csv", "--name", "../../../x"],
        ["pseudo", "--round", "../x"],
        ["train", "--pseudo", "../x"],
        ["train", "--continue-from", "../x"],
        ["train", "--recipe", "../x"],
        ["export-labels", "out", "--round", "../x", "--fold", "0"],
        ["submit", "--pseudo", "../x"],
        ["ablation", "--name", "../x"],
    ],
)
def test_options_take_no_path_for_a_name(words, file, capsys, tmp_path):
    assert main([*words, "-c", str(file)]) == 2
    assert "../x" in capsys.readouterr().err
    written = {path for path in tmp_path.rglob("*") if path.is_file() and "cache" not in path.parts}
    assert written == {file}


@pytest.mark.parametrize("sample", ["/etc/passwd", "../secret.csv", "link.csv"])
def test_the_sample_lies_with_the_data(sample, file, tiny_data, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    (tmp_path / "secret.csv").write_text("secret\n")
    (data / "link.csv").symlink_to(tmp_path / "secret.csv")
    text = (data / "competition.toml").read_text()
    (data / "competition.toml").write_text(text.replace("sample_submission.csv", sample))
    project = Project.open(data / "competition.toml", tmp_path)
    with pytest.raises(InputFault, match="leaves the data folder|out of the data folder") as fault:
        _ = project.sample
    assert "secret\n" not in str(fault.value) and "root:" not in str(fault.value)
