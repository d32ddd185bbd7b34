"""The figure in a notebook that sharpens while points come."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import lossgrid
from lossgrid import plot, store
from lossgrid.api import live
from lossgrid.errors import InputError
from lossgrid.files.lock import locked
from lossgrid.sampling import Refine, Tolerance, completed
from lossgrid.surface import DONE, INTERPOLATED, NOT_FINITE, PENDING, Axis, Grid, Results, Surface
from lossgrid.surface.lattice import known_part, mosaic, stride_of, whole_part
from tests.builders import a_surface
from tests.notebook import Cell, pretend

INPUTS, TARGETS = torch.eye(4), torch.tensor([0, 1, 2, 3])
PLANE = {"alpha": "-1:1:17", "beta": "-1:1:17"}


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Cell:
    return pretend(monkeypatch)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure is drawn every tenth of a second, and results are in the file at once."""
    monkeypatch.setattr(live, "LEAST_SECONDS", 0.1)
    monkeypatch.setattr(live.LiveFigure.__init__, "__kwdefaults__", {"share": np.inf})
    monkeypatch.setattr("lossgrid.parallel.mail.REPORT_SECONDS", 0.0)


def slow(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    time.sleep(0.003)
    return F.cross_entropy(outputs, targets, reduction="none")


def evaluated(**options: Any) -> Surface:
    torch.manual_seed(0)
    return lossgrid.evaluate(torch.nn.Linear(4, 4), (INPUTS, TARGETS), loss=slow, batch_size=4, **options)


def dots(figure: Any) -> np.ndarray:
    """Return alpha and beta of the dots of a plane."""
    return next(np.stack(one.get_data()) for one in figure.axes[0].lines if one.get_marker() == ".")


def test_a_figure_changes_in_its_place_while_points_come(
    notebook: Cell, eager: None, caplog: pytest.LogCaptureFixture
) -> None:
    surface = evaluated(**PLANE, live=True)
    counts = [dots(figure).shape[1] for figure in notebook.figures]
    assert "figure" not in caplog.text
    assert len(counts) > 3
    assert counts == sorted(counts)
    assert counts[0] < 17 * 17
    assert counts[-1] == 17 * 17
    np.testing.assert_array_equal(surface["train_loss"], evaluated(**PLANE)["train_loss"])


def test_with_a_tolerance_dots_are_where_points_were_computed(notebook: Cell, eager: None) -> None:
    surface = evaluated(alpha="-1:1:33", beta="-1:1:33", tolerance=0.05, live={"metric": "train_loss", "kind": "heat"})
    first, last = notebook.figures[0], notebook.figures[-1]
    assert dots(first).shape[1] < dots(last).shape[1] == surface.done < 33 * 33
    at = {(float(alpha), float(beta)) for alpha, beta in dots(last).T}
    rows, columns = np.nonzero(surface.computed)
    assert surface.beta is not None
    assert at == set(zip(surface.alpha[columns].tolist(), surface.beta[rows].tolist(), strict=True))


def test_a_short_run_has_its_figure_in_the_end_and_a_line_too(notebook: Cell) -> None:
    evaluated(alpha="-1:1:9", live=True)
    assert len(notebook.figures) == 1
    assert len(notebook.figures[0].axes[0].lines[0].get_xdata()) == 9


def test_without_a_word_there_is_no_figure(notebook: Cell) -> None:
    evaluated(alpha="-1:1:9")
    assert notebook.figures == []


@pytest.mark.parametrize("kernel", [None, False])
def test_elsewhere_one_line_tells_that_there_is_none(
    kernel: bool | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cell = Cell() if kernel is None else pretend(monkeypatch, kernel=kernel)
    assert evaluated(alpha="-1:1:9", live=True).complete
    assert cell.figures == []
    assert [text for text in caplog.messages if "live" in text] == [
        "live: a figure that changes needs a notebook; the run goes on without it"
    ]


def test_a_figure_that_fails_is_one_warning(
    notebook: Cell, eager: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no ink\nleft")

    monkeypatch.setattr(plot, "draw", fail)
    assert evaluated(**PLANE, live=True).complete
    assert notebook.figures == []
    assert [text for text in caplog.messages if "ink" in text] == ["the figure was given up, nothing else: no ink left"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (1, "expected True, False or a dict"),
        ({"kind": "surface"}, "marks the computed points: kind must be one of line, contourf, contour, heat"),
        ({"colour": "red"}, "a picture has no option 'colour'"),
    ],
)
def test_what_no_figure_can_be_is_refused_before_the_work(wanted: Any, words: str, notebook: Cell) -> None:
    with pytest.raises(InputError, match=words):
        evaluated(**PLANE, live=wanted)
    assert notebook.shown == []


def test_looks_take_a_second_and_their_share_of_the_time(
    notebook: Cell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Drawing takes 0.2 s of a clock that a run moves on by 0.1 s a point."""
    clock, drawn = [0.0], []
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    figure = live.LiveFigure(tmp_path / "s.h5", notebook, {}, share=0.01)

    def draw(_: object) -> None:
        clock[0] += 0.2
        drawn.append(clock[0])
        assert 0.2 * len(drawn) <= 1.0 + 0.01 * clock[0] + 0.01

    monkeypatch.setattr(figure, "_draw", draw)
    while clock[0] < 1000:
        figure.look()
        clock[0] += 0.1
    np.testing.assert_allclose(drawn[:5], 1.2 * np.arange(1, 6), atol=0.6)
    np.testing.assert_allclose(np.diff(drawn[6:]), 20, atol=0.5)


def under_way(computed: np.ndarray, values: np.ndarray) -> Surface:
    status = np.where(computed, np.where(np.isfinite(values), DONE, NOT_FINITE), PENDING)
    return a_surface({"train_loss": np.where(computed, values, np.nan)}, status=status)


def test_a_mosaic_has_the_value_of_the_nearest_computed_point() -> None:
    """Against the distance to every computed point, by the longer of both axes."""
    random = np.random.default_rng(5)
    for shape in ((17, 33), (1, 60), (40, 9)):
        values, computed = random.normal(size=shape), random.random(shape) < 0.05
        values[random.random(shape) < 0.1] = np.nan
        computed[0, 3], values[0, 3] = True, 1.0
        found = mosaic(under_way(computed, values))
        stands = np.argwhere(computed & np.isfinite(values))
        for row, column in np.ndindex(shape):
            apart = np.abs(stands - [row, column]).max(axis=1)
            near = {values[tuple(at)] for at in stands[apart == apart.min()]}
            if computed[row, column]:
                np.testing.assert_equal(found["train_loss"][row, column], values[row, column])
                assert found.computed[row, column]
            elif apart.min() <= stride_of(shape):
                assert found["train_loss"][row, column] in near
                assert found.status[row, column] == INTERPOLATED
            else:
                assert found.status[row, column] == PENDING
                assert np.isnan(found["train_loss"][row, column])


def test_a_mosaic_is_not_thinned() -> None:
    computed = np.zeros((33, 33), dtype=bool)
    computed[::4, ::4] = True
    computed[8, 8] = False
    found = mosaic(under_way(computed, np.ones((33, 33))))
    assert whole_part(found) is found


def test_of_a_line_only_known_points_are_drawn() -> None:
    computed = np.arange(20) % 4 == 0
    found = known_part(under_way(computed, np.arange(20.0)))
    np.testing.assert_array_equal(found["train_loss"], np.arange(0.0, 20, 4))
    assert found.computed.all()


def test_predictions_replace_no_computed_value() -> None:
    """A bowl, of which a plan has got half of its points."""
    grid = Grid(Axis(-1, 1, 17), Axis(-1, 1, 17))
    truth = 1 + grid.alpha.values() ** 2 + grid.beta.values()[:, np.newaxis] ** 2  # type: ignore[union-attr]
    surface = under_way(np.zeros((17, 17), dtype=bool), truth)
    plan = Refine(grid, list(surface.quantities.values()), Tolerance(0.01), digest="")
    computed = np.zeros((17, 17), dtype=bool)
    while plan.picture() is None:
        work = plan.ask(5)
        assert work is not None
        computed[work.row, work.start : work.stop : work.step] = True
        values = truth[work.row, work.start : work.stop : work.step, np.newaxis]
        plan.tell(Results(work, values, np.zeros_like(values), np.ones(len(work))))
    picture = plan.picture()
    assert picture is not None
    computed[3, 5] = True  # in the file, not told yet
    odd = np.where(np.arange(17) == 5, 7.0, truth)
    found = completed(under_way(computed, odd), picture, ["train_loss"])
    np.testing.assert_array_equal(found["train_loss"][computed], odd[computed])
    np.testing.assert_array_equal(found.computed, computed)
    np.testing.assert_array_equal(found.status[~computed], INTERPOLATED)
    np.testing.assert_allclose(found["train_loss"][~computed], truth[~computed], atol=0.1)
    assert (found.bars["train_loss"][computed] == 0).all()


def meanwhile(task: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=task)
    thread.start()
    return thread


def test_a_watch_ends_with_the_run(notebook: Cell, eager: None, tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    store.save(path, under_way(np.eye(9, dtype=bool), np.ones((9, 9))))
    begun, ended = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(path):
            begun.set()
            ended.wait(20)

    thread = meanwhile(hold)
    begun.wait(20)
    later = meanwhile(lambda: (time.sleep(0.3), ended.set())[0])  # type: ignore[func-returns-value]
    surface = lossgrid.watch(path)
    thread.join()
    later.join()
    assert ended.is_set()
    assert surface.done == 9
    assert dots(notebook.figures[-1]).shape[1] == 9


def test_the_stop_button_ends_a_watch(notebook: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.h5"
    store.save(path, under_way(np.eye(9, dtype=bool), np.ones((9, 9))))

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(live.time, "sleep", interrupt)
    assert lossgrid.watch(path, kind="contourf").pending == 72
    assert len(notebook.figures) == 1


def test_outside_a_notebook_a_watch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent"):
        lossgrid.watch(tmp_path / "absent.h5")
    store.save(tmp_path / "s.h5", under_way(np.eye(9, dtype=bool), np.ones((9, 9))))
    with pytest.raises(InputError, match="watch shows a figure in a notebook, and this is none"):
        lossgrid.watch(tmp_path / "s.h5")


def test_without_a_figure_no_rank_loads_matplotlib() -> None:
    program = "import sys, lossgrid; lossgrid.evaluate, lossgrid.watch; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
