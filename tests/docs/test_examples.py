"""The examples run as they are, with few steps, and write what they say; so do the demos of ``python -m sb3_wasserstein``."""

import os
import re
import runpy
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import pytest
from pages import ROOT

plt = pytest.importorskip("matplotlib.pyplot", reason="needs the extra figures")

from sb3_wasserstein import __main__ as command  # noqa: E402
from sb3_wasserstein.demos import DEMOS  # noqa: E402

EXAMPLES = {path.stem: path for path in sorted((ROOT / "examples").glob("*.py"))}
#: what it is run with, and what it has to say
SHORT = {
    "attract": (("--timesteps", "1536", "--seeds", "1", "--figure", "figure.png"), "λ = -1, seed 0: "),
    "backup_routes": (("1024", "figure.png"), "population         delays"),
    "demo": (("--timesteps", "3000", "--out", "."), "WassersteinPPO   -"),
    "embeddings": (("--figure", "figure.png"), "visits, blurred   a cell beside it 0.24"),
    "flow_bandit": (("--quick", "--figure", "figure.png"), "particles ent_coef=auto"),
    "flow_pendulum": (("--quick", "--figure", "figure.png"), "Pendulum-v1, 5 episodes"),
    "flow_regulator": (("--quick", "--figure", "figure.png"), "Newton: J = 0.01205"),
    "flow_wall": (("--quick", "--figure", "figure.png"), "right closed"),
    "imitate": (("--timesteps", "3072", "--figure", "figure.png"), "distance to the recordings: "),
    "repel": (("--timesteps", "3072", "--goals", "2", "--figure", "figure.png"), "of 2 goals are somebody's"),
    "wpo": (("--timesteps", "220", "--figure", "figure.png"), "220 steps, gaussian actor: ten episodes -"),
}


def run(script, arguments, monkeypatch, capsys):
    """The script as ``python SCRIPT ARGUMENTS`` runs it, in this process: importing torch anew takes longer than training."""
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    runpy.run_path(str(script), run_name="__main__")
    plt.close("all")
    return capsys.readouterr().out


def test_every_example_is_run() -> None:
    assert SHORT.keys() == EXAMPLES.keys()


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.filterwarnings("ignore:the returns of the first", "ignore:.*does not repel")
def test_example(name, tmp_path, monkeypatch, capsys) -> None:
    arguments, words = SHORT[name]
    monkeypatch.chdir(tmp_path)
    assert words in run(EXAMPLES[name], arguments, monkeypatch, capsys)
    least = 10_000 if name.startswith("flow_") else 8_000
    assert max(path.stat().st_size for path in tmp_path.glob("*.png")) > least


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_short_and_say_what_they_are(name) -> None:
    text = EXAMPLES[name].read_text()
    assert len(text.splitlines()) <= 60
    assert text.startswith('"""')


def test_the_demo_says_what_it_found(tmp_path) -> None:
    command = [sys.executable, "-m", "sb3_wasserstein", "demo", "attract", "--timesteps", "3000"]
    environment = {
        **os.environ,
        "COLUMNS": "200",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    for word in ("mean return", "optimum", "distance to target", "episodes to the optimum"):
        assert word in said
    # Where there is no tensorboard nothing is logged, and nothing is to be seen.
    assert ("tensorboard --logdir" in said) == (find_spec("tensorboard") is not None)
    assert (tmp_path / "runs" / "attract" / "paths.png").stat().st_size > 10_000


@pytest.mark.parametrize(("name", "timesteps", "words"), [("repel", 3072, "policy 2 ends at"), ("flow", 400, "2 starts")])
def test_the_other_demos(name, timesteps, words, tmp_path, capsys) -> None:
    assert command.main(["demo", name, "--timesteps", str(timesteps), "--out", str(tmp_path)]) == 0
    assert words in capsys.readouterr().out
    assert next(tmp_path.glob("*.png")).stat().st_size > 8_000


def test_a_demo_without_matplotlib_says_what_is_missing(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert command.main(["demo", "repel", "--timesteps", "1536", "--out", str(tmp_path)]) == 0
    assert 'pip install "sb3-wasserstein[figures]"' in capsys.readouterr().out
    assert not list(tmp_path.glob("*.png"))


def test_what_is_installed(capsys) -> None:
    assert command.main([]) == 0
    said = capsys.readouterr().out
    assert f"sb3-wasserstein {version('sb3-wasserstein')} on Python" in said
    assert re.search(rf"torch +{re.escape(version('torch'))}", said)
    assert "[contrib]" in said
    assert "[dev]" not in said
    assert all(f"python -m sb3_wasserstein demo {name}" in said for name in DEMOS)


def test_a_missing_extra_is_named(monkeypatch) -> None:
    monkeypatch.setattr(command, "version", lambda name: (_ for _ in ()).throw(PackageNotFoundError))
    assert "pip install 'sb3-wasserstein[figures]'" in command.about()


def test_an_unknown_demo_is_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        command.main(["demo", "dance"])
    assert "attract" in capsys.readouterr().err
