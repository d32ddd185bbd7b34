"""The origin of a surface in memory: total on whatever a file holds, written back as it was, compared in words."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossgrid.surface import Origin
from lossgrid.surface.identity import THERE_AND_NOW, Identity, differences, unlike
from lossgrid.surface.origin import Digests, Imported, Parent, RecordedRecipe

CONFIG: dict[str, Any] = {"model": "mlp", "splits": ["train", "test"], "precision": "float32", "seed": 3}
PROVENANCE: dict[str, Any] = {
    "digests": {"theta": "t", "delta": "d", "eta": None, "data": {"train": "a", "test": "b"}},
    "recipe": {"variant": "fused", "batch_size": 60, "cuda_graphs": False, "about": "in words"},
    "device_type": "cpu",
    "threads": 2,
    "command": ["lossgrid", "run"],
    "writer": "root",
    "by_batch": False,
    "weights": "checkpoint",
    "sources": {"model": "s", "loss": None},
    "arithmetic": {"matmul": "ieee", "cudnn.benchmark": False},
    "processors": ["a processor"],
    "ranks": 3,
    "machines": {"node: cpu, 2 threads": "0-2"},
    "versions": {"torch": "2.10"},
    "merged": [{"file": "a.h5", "created": "2026-01-01", "shape": [2, 3], "command": ["lossgrid"]}],
    "imported": {"tool": "another", "file": "b.h5", "sha256": "x", "dir_file": ""},
    "differs": "a value",
}
NEEDED = ("digests", "recipe", "device_type", "threads", "command")

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def test_what_a_run_writes_is_known_by_name() -> None:
    found = Origin.from_json(CONFIG, PROVENANCE)
    assert found.digests == Digests("t", "d", None, {"train": "a", "test": "b"})
    assert found.recipe == RecordedRecipe("fused", 60, False, "in words")
    assert found.merged == (Parent("a.h5", "2026-01-01", [2, 3], ["lossgrid"]),)
    assert found.imported == Imported("another", "b.h5", "x", "")
    for name in PROVENANCE.keys() - {"digests", "recipe", "merged", "imported"}:
        assert getattr(found, name) == PROVENANCE[name]
    assert found.settings == CONFIG
    assert (found.splits, found.setting("model"), found.setting("seed")) == (("train", "test"), "mlp", None)
    assert found.more == {}
    assert found.untold() == []
    assert found.as_json() == PROVENANCE


def test_an_origin_made_here_is_read_as_it_was() -> None:
    made = Origin(CONFIG, Digests(theta="t", eta="e"), RecordedRecipe(batch_size=5), threads=1, merged=(Parent("a"),))
    assert made.as_json() == {
        "digests": {"theta": "t", "eta": "e"}, "recipe": {"batch_size": 5}, "threads": 1, "merged": [{"file": "a"}],
    }  # fmt: skip
    assert Origin.from_json(made.settings, made.as_json()) == made
    assert Origin().as_json() == {}


@pytest.mark.parametrize("name", PROVENANCE)
def test_an_entry_that_is_missing_is_absent_and_stays_so(name: str) -> None:
    lacking = {key: value for key, value in PROVENANCE.items() if key != name}
    found = Origin.from_json(CONFIG, lacking)
    assert getattr(found, name) == getattr(Origin(), name)
    assert found.as_json() == lacking
    assert (found.untold() != []) == (name in NEEDED)


@pytest.mark.parametrize(
    ("part", "name"), [(part, name) for part in ("digests", "recipe") for name in PROVENANCE[part] if name != "about"]
)
def test_a_missing_entry_of_a_part_is_named_by_its_place(part: str, name: str) -> None:
    lacking = {key: value for key, value in PROVENANCE[part].items() if key != name}
    found = Origin.from_json(CONFIG, {**PROVENANCE, part: lacking})
    assert found.untold() == [f"{part}.{name}"]
    assert found.as_json()[part] == lacking


def test_settings_that_are_missing_or_no_texts_are_named() -> None:
    assert Origin.from_json({}, PROVENANCE).untold() == ["config.splits", "config.precision"]
    hostile = Origin.from_json({"splits": [1], "precision": ["float32"]}, PROVENANCE)
    assert hostile.untold() == ["config.splits", "config.precision"]
    assert Origin.from_json(CONFIG, {}).untold()[:5] == ["digests", "device_type", "recipe", "threads", "command"]


@pytest.mark.parametrize("wrong", [None, True, -1, 0.5, "text", [], [1], [None], [[]], {}, {"x": 1}, {"x": {"y": []}}])
@pytest.mark.parametrize("name", PROVENANCE)
def test_an_entry_of_any_type_is_read_as_one_of_its_own_or_kept_unread(name: str, wrong: Any) -> None:
    found = Origin.from_json(CONFIG, {**PROVENANCE, name: wrong})
    assert found.as_json() == {**PROVENANCE, name: wrong}
    if name in found.more:
        assert getattr(found, name) == getattr(Origin(), name)
    else:
        assert type(getattr(found, name)) in {type(wrong), tuple, Digests, RecordedRecipe, Imported}


def test_a_number_that_is_true_is_none() -> None:
    found = Origin.from_json({}, {"threads": True, "ranks": False, "recipe": {"batch_size": True, "cuda_graphs": 1}})
    assert (found.threads, found.ranks, found.recipe.batch_size, found.recipe.cuda_graphs) == (None,) * 4


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*PROVENANCE, "more", "settings", "later"]), JSON), st.dictionaries(st.text(), JSON)
)
def test_any_json_is_written_as_it_was_read(provenance: dict[str, Any], config: dict[str, Any]) -> None:
    found = Origin.from_json(config, provenance)
    assert found.as_json() == provenance
    assert found.settings == config
    assert all(isinstance(name, str) for name in found.untold())


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["digests", "recipe", "imported"]), st.data())
def test_any_object_in_place_of_a_part_is_written_as_it_was_read(name: str, data: st.DataObject) -> None:
    found = data.draw(st.dictionaries(st.sampled_from([*PROVENANCE[name], "more", "later"]), JSON))
    assert Origin.from_json({}, {name: found}).as_json() == {name: found}
    assert Origin.from_json({}, {"merged": [found]}).as_json() == {"merged": [found]}


def test_entries_of_a_later_version_are_kept_and_do_not_pass_for_the_recipe() -> None:
    found = Origin.from_json({}, {"later": {"x": 1}, "recipe": {"variant": "plain", "later": 2}})
    assert found.more == {"later": {"x": 1}}
    assert found.recipe.told() == {"variant": "plain"}
    assert replace(found, writer="root").as_json()["later"] == {"x": 1}


def test_a_value_that_is_set_wins_over_one_that_was_not_understood() -> None:
    assert replace(Origin.from_json({}, {"differs": 7}), differs="a value").as_json() == {"differs": "a value"}


def test_every_entry_is_documented() -> None:
    for kind in (Origin, Digests, RecordedRecipe, Parent, Imported):
        for one in fields(kind):
            assert f"\n        {one.name}: " in (kind.__doc__ or ""), (kind, one.name)


# identity


def identity(**changes: Any) -> Identity:
    own = Digests("t", "d", "e", {"train": "a"})
    base = Identity({"model": "mlp", "loss": "mse"}, {"seed": 0, "norm": "filter"}, False, "cpu", None, own)
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"settings": {"model": "mlp", "loss": "cross_entropy"}}, ["loss is cross_entropy, not mse"]),
        ({"settings": {"model": "mlp"}}, ["loss is unset, not mse"]),
        ({"settings": {"model": "m" * 99, "loss": "mse"}}, [f"model is {'m' * 57}..., not mlp"]),
        ({"settings": {"model": "{ours}", "loss": "mse"}}, ["model is {ours}, not mlp"]),
        ({"device_type": "cuda"}, ["device is cuda, not cpu"]),
        ({"batch_size": 60}, ["batch-size is 60, not unset"]),
        ({"is_line": True, "digests": Digests("t", "d", None, {"train": "a"})}, ["it is a line, not a plane"]),
        ({"made": {"seed": 5, "norm": "filter"}}, []),
        (
            {"made": {"seed": 5, "norm": "filter"}, "digests": Digests("t", "x", "e", {"train": "a"})},
            ["seed is 5, not 0", "direction delta differs"],
        ),
        ({"digests": Digests("x", "d", "e", {"train": "a"})}, ["the network (model or checkpoint) differs"]),
        ({"digests": Digests("t", "d", "x", {"train": "a"})}, ["direction eta differs"]),
        ({"digests": Digests("t", "d", "e", {"train": "x", "test": "b"})}, ["the data of split train differ"]),
        ({"digests": Digests("t", "d", "e", {"test": "b"})}, []),
    ],
)
def test_identities_differ_in_words(changes: dict[str, Any], words: list[str]) -> None:
    assert differences(identity(**changes), identity()) == words


def test_the_same_directions_are_one_however_they_were_made() -> None:
    assert identity(made={"seed": 5, "norm": "layer"}) == identity()
    assert identity(digests=Digests("t", "x", "e", {"train": "a"})) != identity()


def test_the_file_that_other_data_are_of_is_named() -> None:
    other = identity(digests=Digests("t", "d", "e", {"train": "x"}))
    assert differences(other, identity(), holders={"train": "a.h5"}) == [
        "the data of split train differ from those in a.h5"
    ]


def test_a_run_is_told_what_is_there_and_what_is_now() -> None:
    assert unlike({"batch_size": 5}, {"batch_size": 6, "beta": None}, THERE_AND_NOW) == [
        "batch-size is 5 there and 6 now"
    ]
    assert differences(identity(device_type="cuda"), identity(), words=THERE_AND_NOW) == [
        "device is cuda there and cpu now"
    ]
