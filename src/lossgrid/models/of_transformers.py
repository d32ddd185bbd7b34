"""Networks of Hugging Face's transformers: from a folder, or new ones of a type. Nothing is downloaded.

A folder is hostile input. Its configuration is read as JSON, without the entries that name code or places elsewhere.
Its weights are read as any checkpoint. Code in a folder is never run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from lossgrid import user_code
from lossgrid.errors import InputError, did_you_mean, in_short, listed, shown
from lossgrid.files import fault_of_name, read_file
from lossgrid.machine.packages import load_package
from lossgrid.models.of_timm import check_network

FORM = "--model hf:FOLDER|TYPE"
SAVE = "lossgrid downloads nothing: save it with model.save_pretrained(FOLDER), and give hf:FOLDER"
CONFIG = "config.json"
LARGEST = 2**24  # bytes of a configuration
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",  # a pickle, which is read as data
    "pytorch_model.bin.index.json",
)
CLASS = "architecture"  # the argument that names the class
SHOWN = 6  # names of classes in an error
# Entries that make transformers load kernels, code or weights from elsewhere; without them it uses its own.
ELSEWHERE = frozenset(
    {"attn_implementation", "_attn_implementation", "_experts_implementation", "use_kernels", "_name_or_path"}
)
# What the data tell of a new network of pictures or classes, under the names of transformers.
FACTS = {"num_classes": "num_labels", "in_channels": "num_channels"}


def build(name: str, args: Mapping[str, Any], facts: Mapping[str, int]) -> nn.Module:
    """Return a network of transformers with random weights.

    Args:
        name: A folder with ``config.json``, or a type of network such as ``bert``; the folder comes first.
        args: Entries of the configuration, and ``architecture``, the name of the class.
        facts: What the data tell; used for a type, not for a folder.

    Raises:
        InputError: transformers is not installed; name, class or argument are unknown; or the folder has code.
    """
    transformers = load_package("transformers", needed_by="--model hf", extra="hf")
    folder = _folder_of(name)
    entries = {"model_type": name} if folder is None else _entries_of(folder)
    known = transformers.CONFIG_MAPPING
    kind = entries.get("model_type")
    if not isinstance(kind, str) or kind not in known:
        version = f"transformers {transformers.__version__}"
        if folder is None:
            raise InputError(
                f"{FORM}: {shown(repr(name))} is no folder with {CONFIG}, and no type of network that {version} knows"
                f"{did_you_mean(name, known.keys(), most=3)}; {SAVE}"
            )
        raise InputError(f"{FORM}: {shown(folder / CONFIG)}: {version} knows no model_type {shown(repr(kind))}")
    given = {key: value for key, value in args.items() if key != CLASS}
    factory = _class_of(args.get(CLASS, _first(entries.get("architectures"))), kind, name, transformers)
    if folder is None:
        by_data = FACTS if factory.__name__.endswith("ImageClassification") else {}
        entries |= {FACTS[key]: value for key, value in facts.items() if key in by_data}
    config = _configured(known[kind], entries, given, name)
    if not isinstance(config, factory.config_class or object):
        raise InputError(f"{FORM}: {shown(name)} is of type {kind}, and {factory.__name__} is of another type")
    built = user_code.call(factory, config, name=f"hf:{name}", role="model")
    return check_network(built, f"hf:{name}")


def checkpoint_of(name: str) -> Path | None:
    """Return the file of the weights in a folder; None for a type, and for a folder without weights."""
    folder = _folder_of(name)
    files = [] if folder is None else [folder / file for file in WEIGHTS]
    return next((file for file in files if file.is_file()), None)


def _folder_of(name: str) -> Path | None:
    """Return the folder that ``name`` is; None if it is none with a configuration."""
    if not name or fault_of_name(Path(name)):
        return None
    folder = Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser raises an error for unknown users
    return folder if (folder / CONFIG).is_file() else None


def _entries_of(folder: Path) -> dict[str, Any]:
    """Return the configuration in a folder.

    Raises:
        InputError: It is damaged, names code in the folder, or is of a quantised network.
    """
    path = folder / CONFIG
    content = read_file(path, most=LARGEST + 1, what=FORM, expected=f"expected a folder with {CONFIG}")
    try:
        if len(content) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
        entries = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{FORM}: {shown(path)} is damaged ({shown(in_short(error))}); expected JSON") from None
    if not isinstance(entries, dict):
        raise InputError(f"{FORM}: {shown(path)}: expected a JSON object, got a {type(entries).__name__}")
    if "auto_map" in entries:
        raise InputError(
            f"{FORM}: {shown(path)} names code of its own (auto_map), which lossgrid does not run; build the network "
            "in a function of yours, and give it as package.module:factory"
        )
    if "quantization_config" in entries:
        raise InputError(f"{FORM}: {shown(path)} is of a quantised network; give the one it was made of")
    return {key: value for key, value in _own(entries).items() if key != "transformers_version"}


def _own(value: Any) -> Any:
    """Return a value of JSON without the entries of ``ELSEWHERE``, at any depth."""
    if isinstance(value, dict):
        return {key: _own(part) for key, part in value.items() if key not in ELSEWHERE}
    return [_own(part) for part in value] if isinstance(value, list) else value


def _first(architectures: Any) -> Any:
    return architectures[0] if isinstance(architectures, list) and architectures else None


def _class_of(wanted: Any, kind: str, name: str, transformers: ModuleType) -> Any:
    """Return the class of a network.

    Raises:
        InputError: It is not named, or is no network of transformers.
    """
    names = _classes(kind)
    choice = f"expected --model-arg {CLASS}=NAME, such as {listed(names, SHOWN)}"
    if wanted is None:
        raise InputError(
            f"{FORM}: {shown(name)} is a type of networks, made with random weights: {choice}; for trained weights, "
            f"{SAVE}"
        )
    found = getattr(transformers, wanted, None) if isinstance(wanted, str) and wanted.isidentifier() else None
    if not isinstance(found, type) or not issubclass(found, transformers.PreTrainedModel):
        hint = did_you_mean(str(wanted), names, most=3)
        raise InputError(f"{FORM}: transformers has no network {shown(repr(wanted))}{hint}; {choice}")
    return found


def _classes(kind: str) -> list[str]:
    """Return the names of the classes for a type of network, those with a loss first."""
    tables = vars(import_module("transformers.models.auto.modeling_auto"))
    found: dict[str, None] = {}
    for title in sorted(tables, key=lambda title: ("CLASSIFICATION" not in title, "_LM_" not in title, title)):
        if title.startswith("MODEL_") and title.endswith("_MAPPING_NAMES") and kind in tables[title]:
            classes = tables[title][kind]
            found |= dict.fromkeys([classes] if isinstance(classes, str) else filter(None, classes))
    return list(found)


def _configured(factory: Any, entries: Mapping[str, Any], given: Mapping[str, Any], name: str) -> Any:
    """Return the configuration of ``entries``, changed by the user's ``given`` ones.

    Raises:
        InputError: transformers refuses a value, or does not know an entry of the user.
    """

    def configured(values: Mapping[str, Any]) -> Any:
        return user_code.call(factory.from_dict, dict(values), name=f"hf:{name}", role="configuration of model")

    known = {*configured(entries).to_dict(), "num_labels"} - ELSEWHERE
    for key in given:
        if key not in known:
            raise InputError(
                f"--model-arg: hf:{shown(name)} takes {CLASS} and the entries of its configuration, got {shown(key)!r}"
                f"{did_you_mean(key, known, most=3)}"
            )
    # What a network keeps for the next word of a text costs memory, and no point needs it.
    unused = {"use_cache": False} if "use_cache" in known else {}
    return configured({**entries, **unused, **given})
