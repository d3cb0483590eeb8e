"""The README is what the CSVs say; rows are resumed, and name the command and the commit that made them."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from benchmarks import claims
from benchmarks.__main__ import README, RESULTS_PAGE, page, results_page
from benchmarks._lib.rows import RESULTS, Row, Rows, read, write
from benchmarks._lib.study import Run, Study
from benchmarks.claims import CLAIMS, Claim, Verdict


def test_the_pages_are_made_by_the_command() -> None:
    assert README.read_text() == page(), "run python -m benchmarks"
    assert RESULTS_PAGE.read_text() == results_page(), "run python -m benchmarks"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.csv")), ids=lambda path: path.stem)
def test_every_row_has_room_for_its_command_and_commit(path: Path) -> None:
    rows = read(path)
    assert rows
    assert all(None not in row and {"command", "commit"} <= row.keys() for row in rows)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.text[:40])
def test_a_claim_names_a_script_and_its_rows_name_it_too(claim: Claim) -> None:
    module = claim.arguments.split()[0]
    root = Path(__file__).parents[2]
    assert (root / f"{module.replace('.', '/')}.py").exists()
    script = module.rpartition(".")[0]
    assert all(row["command"].startswith(f"python -m {script}") for row in claim.rows())


def test_a_claim_without_rows_is_not_run() -> None:
    assert str(CLAIMS[0].verdict([])) == "not run"


def group(name: str, *found: int) -> list[Row]:
    return [{"task": name, "found": str(value)} for value in found]


@pytest.mark.parametrize(
    ("other", "expected"),
    [((1, 1, 1, 0), Verdict(True, "6 of 8, least 3 of 4 (a)")), ((1, 0, 0, 0), Verdict(False, "4 of 8, least 1 of 4 (b)"))],
)
def test_every_group_has_to_reach_the_share(other: tuple[int, ...], expected: Verdict) -> None:
    rule = claims.worst_share(("task",), lambda row: row["found"] == "1", 0.5)
    assert rule(group("a", 1, 1, 1, 0) + group("b", *other)) == expected


def test_a_column_out_of_its_range_fails_the_claim() -> None:
    rows: list[Row] = [{"share": "0.01"}, {"share": ""}, {"share": "0.07"}]
    assert claims.within({"share": (0.0, 0.1)})(rows).holds is True
    assert claims.within({"share": (0.0, 0.05)})(rows).holds is False


def test_less_than_the_asked_ratio_fails_the_claim() -> None:
    rows: list[Row] = [{"n": "10", "cold": "3", "warm": "5"}, {"n": "20", "cold": "1", "warm": "1"}]
    assert claims.times_faster({"10": (3.0, 5.0)}, "n", "cold", "warm")(rows).holds is True
    assert claims.times_faster({"10": (3.0, 6.0)}, "n", "cold", "warm")(rows).holds is False


def test_what_is_in_the_table_is_not_run_again(tmp_path: Path) -> None:
    path, ran = tmp_path / "rows.csv", []

    def run(seed: int) -> dict[str, float | str]:
        ran.append(seed)
        return {"value": seed / 3, "word": "yes"}

    for _ in range(2):
        rows = Rows(path, ["seed"], ["value", "word", "empty"])
        for seed in (1, 2):
            rows.add({"seed": seed}, partial(run, seed))
    assert ran == [1, 2]
    assert [(row["seed"], row["value"], row["empty"]) for row in read(path)] == [("1", "0.333333", ""), ("2", "0.666667", "")]
    assert all(row["command"].startswith("python ") and row["cpu_s"] for row in read(path))
    assert Rows(path, ["seed"], ["value", "word", "empty"]).where(seed=2) == read(path)[1:]


def test_a_table_of_other_columns_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "rows.csv", [{"a": 1}, {"b": 0.1}])
    assert [(row["a"], row["b"]) for row in read(tmp_path / "rows.csv")] == [("1", ""), ("", "0.1")]
    with pytest.raises(ValueError, match="columns"):
        Rows(tmp_path / "rows.csv", ["a"], ["c"])


def test_a_study_runs_what_is_missing_and_shows_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def runs(args: argparse.Namespace) -> Iterator[Run]:
        return (({"seed": seed}, partial(dict, value=seed)) for seed in args.seeds)

    columns = {"twice": lambda rows: str(2 * int(rows[0]["value"]))}
    study = Study("About it.", "no_claim", ["seed"], ["value"], runs, ["seed"], columns, seeds=3)
    path = tmp_path / "rows.csv"
    for options, expected in (
        (["--seeds", "2"], ["0", "1"]),
        (["--table"], ["0", "1"]),
        ([], ["0", "1", "2"]),
        (["--quick"], ["0"]),
    ):
        monkeypatch.setattr(sys, "argv", ["study", "--out", str(path), *options])
        assert study.main() == 0
        shown = capsys.readouterr().out.split("seed  twice\n")[1].split()
        assert shown == [word for seed in expected for word in (seed, str(2 * int(seed)))]
    assert len(read(path)) == 3


SCRIPTS = sorted({claim.arguments.split()[0] for claim in CLAIMS} - {"tools.mutation", "benchmarks.integration.sb3_suite"})


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_quick_run(script: str) -> None:
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-m", script, "--quick"], cwd=root, capture_output=True, text=True, timeout=600)
    assert found.returncode == 0, found.stdout + found.stderr
