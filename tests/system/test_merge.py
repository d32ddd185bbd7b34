"""Runs apart, merged: the bits of one run, resumed where something is missing, refused where they do not fit."""

from pathlib import Path
from typing import Any

import pytest

from lossgrid import cli, store
from tests.conftest import ROOT, launch
from tests.families import further
from tests.system.conftest import Inside, assert_same_bytes, values

pytestmark = pytest.mark.beside

ALPHA, BETA, SPLITS = ("--alpha", "-1:1:5"), ("--beta", "-0.5:0.25:4"), ("--splits", "train,test")
NETWORK = ("--model", "users:net", "--data", "users:pictures", "--seed", "3")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in an empty folder, with the programs of the tests at hand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "programs"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the plane as one run computes it."""
    folder = tmp_path_factory.mktemp("whole")
    done = launch(0, "lossgrid", "run", *NETWORK, *ALPHA, *BETA, *SPLITS, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "surface.h5"


def compute(inside: Inside, name: str, *options: str) -> None:
    done = inside("run", *NETWORK, *options, "--out", name)
    assert done.returncode == 0, done.stderr


def merge(inside: Inside, *arguments: str) -> str:
    done = inside("merge", *arguments)
    assert done.returncode == 0, done.stderr
    return str(done.stderr)


def test_two_halves_are_the_bits_of_the_whole(start: Any, inside: Inside, whole: Path) -> None:
    left = start(2, "lossgrid", "run", *NETWORK, "--alpha", "-1:0:3", *BETA, *SPLITS, "--out", "left.h5")
    assert left.returncode == 0, left.stderr
    compute(inside, "right.h5", "--alpha", "0:1:3", *BETA, *SPLITS)
    said = merge(inside, "left.h5", "right.h5", "--out", "merged.h5")
    assert said.splitlines()[-1] == "lossgrid: merged 2 surfaces into merged.h5: 4 x 5 points, complete"
    assert_same_bytes(Path("merged.h5"), whole)
    before = Path("merged.h5").read_bytes()
    again = inside("run", *NETWORK, *ALPHA, *BETA, *SPLITS, "--out", "merged.h5")
    assert again.returncode == 0, again.stderr
    assert "0 of 20 points are pending" in again.stderr
    assert Path("merged.h5").read_bytes() == before


def test_two_splits_are_the_bits_of_the_whole(inside: Inside, whole: Path) -> None:
    compute(inside, "test.h5", *ALPHA, *BETA, "--splits", "test")
    compute(inside, "train.h5", *ALPHA, *BETA, "--splits", "train")
    merge(inside, "test.h5", "train.h5", "--out", "merged.h5")
    assert_same_bytes(Path("merged.h5"), whole)
    again = inside("run", *NETWORK, *ALPHA, *BETA, *SPLITS, "--out", "merged.h5")
    assert again.returncode == 0, again.stderr


def test_a_job_array_of_rows_is_the_bits_of_the_whole(inside: Inside, whole: Path) -> None:
    rows = ["-0.5", "-0.25", "0", "0.25"]
    for number, row in enumerate(rows):
        compute(inside, f"row_{number}.h5", *ALPHA, "--beta", f"{row}:{row}:1", *SPLITS)
    merge(inside, *(f"row_{number}.h5" for number in (2, 0, 3, 1)), "--out", "merged.h5")
    assert_same_bytes(Path("merged.h5"), whole)
    sources = store.read("merged.h5").provenance["merged"]
    assert [source["file"] for source in sources] == ["row_2.h5", "row_0.h5", "row_3.h5", "row_1.h5"]
    assert "0:0:1" in sources[0]["command"]


@pytest.mark.parametrize("ranks", [further(0), 3])
def test_a_run_fills_the_holes_of_a_merged_plane_to_the_bits_of_the_whole(
    start: Any, inside: Inside, whole: Path, ranks: int
) -> None:
    compute(inside, "one.h5", "--alpha", "-1:0:3", "--beta", "-0.5:-0.25:2", *SPLITS)
    compute(inside, "two.h5", "--alpha", "0.5:1:2", "--beta", "0:0.25:2", "--splits", "train")
    said = merge(inside, "one.h5", "two.h5", "--out", "merged.h5")
    assert said.splitlines()[-1].endswith(
        "4 x 5 points, of which 14 are pending; lossgrid run goes on with "
        "--alpha -1.0:1.0:5 --beta -0.5:0.25:4 --splits train,test"
    )
    known = store.read("merged.h5")
    assert values(Path("merged.h5"))["train_loss"][2:, 3:].tobytes() == values(whole)["train_loss"][2:, 3:].tobytes()
    assert not known.complete
    done = start(ranks, "lossgrid", "run", *NETWORK, *ALPHA, *BETA, *SPLITS, "--out", "merged.h5")
    assert done.returncode == 0, done.stderr
    assert_same_bytes(Path("merged.h5"), whole)
    assert store.read("merged.h5").complete
    assert len(store.read("merged.h5").provenance["merged"]) == 2


def test_a_finer_centre_is_shown_and_drawn_and_no_run_goes_on_with_it(inside: Inside) -> None:
    compute(inside, "coarse.h5", "--alpha", "-1:1:5", "--beta", "-1:1:5")
    compute(inside, "fine.h5", "--alpha", "-0.25:0.25:3", "--beta", "-0.25:0.25:3")
    said = merge(inside, "coarse.h5", "fine.h5", "--out", "merged.h5")
    assert "16 are pending; alpha and beta not equally spaced" in said
    told = inside("status", "merged.h5")
    assert told.returncode == 0, told.stderr
    assert "merged.h5: 7 x 7 points of users:net, incomplete, merged from 2 files" in told.stdout
    assert "done 33 of 49" in told.stdout
    drawn = inside("plot", "merged.h5")
    assert drawn.returncode == 0, drawn.stderr
    kinds = ("contour", "contourf", "heat", "surface")
    assert sorted(drawn.stdout.split()) == [f"merged_{kind}.png" for kind in kinds]
    before = Path("merged.h5").read_bytes()
    refused = inside("run", *NETWORK, "--alpha", "-1:1:7", "--beta", "-1:1:7", "--out", "merged.h5")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith(
        "lossgrid: error: --out: merged.h5 was merged, and its coordinates are not equally spaced"
    )
    assert Path("merged.h5").read_bytes() == before


def run_main(*arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    return int(exit_.value.code or 0)


SMALL = ("--model", "users:net", "--data", "users:pictures", "--alpha", "0:1:2")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the file of a small line."""
    with pytest.MonkeyPatch.context() as here:
        here.chdir(tmp_path_factory.mktemp("small"))
        here.syspath_prepend(str(ROOT / "tests" / "programs"))
        assert run_main("run", *SMALL, "--out", "a.h5") == 0
        return Path("a.h5").read_bytes()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--seed", "5"], ["seed is 5, not 0", "direction delta differs"]),
        (["--norm", "layer"], ["norm is layer, not filter", "direction delta differs"]),
        (
            ["--model-arg", "width=3"],
            ["model-arg is {'width': 3}, not {}", "the network (model or checkpoint) differs"],
        ),
        (["--data-arg", "count=50"], ["data-arg is {'count': 50}, not {}", "the data of split train differ"]),
        (["--max-samples", "50"], ["max-samples is 50, not unset", "the data of split train differ"]),
        (["--loss", "users:slow_loss"], ["loss is users:slow_loss, not cross_entropy"]),
        (["--precision", "float64"], ["precision is float64, not float32"]),
        (["--beta", "0:1:2"], ["it is a plane, not a line"]),
    ],
    ids=lambda part: " ".join(part),
)
def test_runs_that_do_not_belong_together_are_refused(
    capfd: pytest.CaptureFixture[str], small: bytes, changes: list[str], words: list[str]
) -> None:
    Path("a.h5").write_bytes(small)
    assert run_main("run", *SMALL, *changes, "--out", "b.h5") == 0
    capfd.readouterr()
    assert run_main("merge", "a.h5", "b.h5", "--out", "c.h5") == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("lossgrid: error: b.h5 does not belong to a.h5: ")
    for word in words:
        assert word in lines[0]
    assert sorted(path.name for path in Path().glob("*.h5*")) == ["a.h5", "b.h5"]


def test_runs_that_only_seem_to_belong_together_are_refused(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network's own code was edited between the runs, which no digest of its parameters tells."""
    assert run_main("run", *SMALL, "--out", "a.h5") == 0
    import users

    monkeypatch.setattr(users.F, "relu", users.torch.tanh)
    assert run_main("run", *SMALL, "--out", "b.h5") == 0
    capfd.readouterr()
    assert run_main("merge", "a.h5", "b.h5", "--out", "c.h5") == 2
    line = capfd.readouterr().err.splitlines()[-1]
    assert "b.h5 and a.h5 do not agree: at alpha 0 train_" in line
    assert not Path("c.h5").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["Missing argument"]),
        (["a.h5", "b.h5"], ["Missing option", "--out"]),
        (["a.h5", "--out", "c.h5"], ["expected two surfaces or more", "a.h5"]),
        (["a.h5", "absent.h5", "--out", "c.h5"], ["absent.h5", "no such file"]),
        (["a.h5", "text.h5", "--out", "c.h5"], ["text.h5", "not a surface file"]),
        (["a.h5", "b.h5", "--out", "a.h5"], ["--out", "a.h5 is one of the surfaces to merge"]),
        (["a.h5", "b.h5", "--out", "a.h5", "--overwrite"], ["a.h5 is one of the surfaces to merge"]),
        (["a.h5", "b.h5", "--out", "old.h5"], ["old.h5 exists", "--overwrite"]),
        (["a.h5", "b.h5", "--out", "text.h5", "--overwrite"], ["text.h5", "not a surface file"]),
        (["a.h5", "b.h5", "--out", "."], ["--out", "expected the name of a file, got '.'"]),
        (["a.h5", "b.h5", "--out", "absent/c.h5"], ["--out", "absent"]),
        (["a.h5", "b.h5", "--uot", "c.h5"], ["--uot", "--out"]),
    ],
    ids=lambda part: " ".join(part),
)
def test_merge_refuses_in_one_line_and_touches_nothing(
    capfd: pytest.CaptureFixture[str], small: bytes, arguments: list[str], words: list[str]
) -> None:
    for name in ("a.h5", "b.h5", "old.h5"):
        Path(name).write_bytes(small)
    Path("text.h5").write_text("no HDF5")
    before = {path.name: path.read_bytes() for path in Path().glob("*.h5*")}
    capfd.readouterr()
    assert run_main("merge", *arguments) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    for word in ("lossgrid: error: ", *words):
        assert word in lines[0]
    assert {path.name: path.read_bytes() for path in Path().glob("*.h5*")} == before
