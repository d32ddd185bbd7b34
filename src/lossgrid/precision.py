"""The precisions of a run, and how far round-off may bring two computations of a value apart in each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """The arithmetic of the network.

    Attributes:
        name: Its name in settings and files.
        parameters: Name of the dtype of parameters and inputs.
        autocast: Name of the dtype in which layers compute over float32 parameters; None: in that of the parameters.
        is_lower: Whether values are compared with float32.
        noise: Round-off of a loss, relative; for files without a measured one.
        roundings: Relative size of eight roundings of a number.
        variants: Largest difference of two variants of a network by round-off, as a fraction of the largest output.
        same_conditions: Largest relative difference of two computations under conditions that promise equal bits.
        other_conditions: The same with another recipe, library or processor.
        surfaces: The same between two surfaces that are merged.
        of_gpus: Whether only GPUs have it.
    """

    name: str
    parameters: str
    autocast: str | None
    is_lower: bool
    noise: float
    roundings: float
    variants: float
    same_conditions: float
    other_conditions: float
    surfaces: float
    of_gpus: bool = False


PRECISIONS = {
    one.name: one
    for one in (
        #         name        parameters  autocast    lower  noise  roundings  variants  same   other  surfaces  of GPUs
        Precision("float64", "float64", None, False, 1e-12, 2.0**-50, 1e-10, 1e-12, 1e-9, 1e-9),
        Precision("float32", "float32", None, False, 1e-6, 2.0**-21, 1e-4, 1e-6, 1e-5, 1e-4),
        Precision("tf32", "float32", None, True, 1e-3, 2.0**-8, 2e-2, 1e-6, 2e-2, 2e-2, True),
        Precision("float16", "float32", "float16", True, 1e-3, 2.0**-8, 2e-2, 1e-6, 2e-2, 2e-2, True),
        Precision("bfloat16", "float32", "bfloat16", True, 1e-2, 2.0**-6, 1e-1, 1e-6, 1e-1, 1e-1),
    )
}


def precision_of(name: str | None) -> Precision:
    """Return the precision of that name; float32 for files of other programs, which may not tell theirs.

    >>> precision_of("bfloat16").is_lower, precision_of(None).name
    (True, 'float32')
    """
    return PRECISIONS.get(name or "", PRECISIONS["float32"])
