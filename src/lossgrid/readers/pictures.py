"""One picture from a file, read by Pillow: decoded, resized, cropped.

Resizing and cropping give the same pixels as ``Resize`` and ``CenterCrop`` of torchvision on pictures of Pillow. As
there, transparency and the orientation in a photograph's metadata are ignored. Of several frames the first counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError, in_short, shown
from lossgrid.files import open_file

# Pillow's other formats are left out: they are rare, and one of them starts a program.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
EIGHT_BITS = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})  # Pillow's modes
MODES = {"rgb": ("RGB", 3), "l": ("L", 1)}  # Pillow's name and number of channels
LONGEST = 2**16  # pixels of a side that can be asked for

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]


@dataclass(frozen=True)
class Form:
    """The form that pictures are brought into.

    Attributes:
        mode: ``rgb`` or ``l``, which is grey.
        resize: Height and width, or only the length of the shorter side; None to leave the size.
        crop: Height and width of the part in the centre; None for all.
    """

    mode: str = "rgb"
    resize: Size | int | None = None
    crop: Size | None = None

    @classmethod
    def of(cls, mode: Any, resize: Any, crop: Any) -> Form:
        """Return the form that a user asks for.

        Raises:
            InputError: A value is no mode or no size.
        """
        if not isinstance(mode, str) or mode not in MODES:
            raise InputError(f"--data-arg mode: expected {' or '.join(MODES)}, got {shown(repr(mode))}")
        part = _size("crop", crop)
        return cls(mode, _size("resize", resize), (part, part) if isinstance(part, int) else part)

    @property
    def pillow_mode(self) -> str:
        """Pillow's name of the mode."""
        return MODES[self.mode][0]

    @property
    def channels(self) -> int:
        """Number of channels."""
        return MODES[self.mode][1]


def _size(name: str, given: Any) -> Size | int | None:
    """Return a number, or height and width; ``given`` may be a number, a list of two, or ``H,W``."""
    if given is None:
        return None
    parts = given.split(",") if isinstance(given, str) else [given] if isinstance(given, int) else given
    is_known = isinstance(parts, (list, tuple)) and len(parts) in (1, 2)
    numbers = [_side(part) for part in parts] if is_known else [0]
    if not all(1 <= number <= LONGEST for number in numbers):
        raise InputError(
            f"--data-arg {name}: expected N or H,W, numbers of pixels from 1 to {LONGEST}, got {shown(repr(given))}"
        )
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _side(part: Any) -> int:
    if isinstance(part, str) and len(part) < 10 and part.strip().isdecimal():
        return int(part)
    return part if isinstance(part, int) and not isinstance(part, bool) else 0


def read_picture(path: Path, form: Form) -> Pixels:
    """Return the pixels of a picture, ``(channels, height, width)``, uint8.

    Raises:
        InputError: Pillow is not installed, or the file is missing, damaged, too large, or smaller than the crop.
    """
    pillow = _pillow()
    with open_file(path, what="--data images:FOLDER: picture", expected="expected a picture") as stream:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of damaged metadata, which are not used
                warnings.simplefilter("error", pillow.DecompressionBombWarning)
                picture = pillow.open(stream, formats=FORMATS)
                if picture.mode not in EIGHT_BITS:
                    raise _error(path, f"its pixels are of Pillow's mode {picture.mode}; convert it to 8 bits")
                picture = picture.convert(form.pillow_mode)  # decodes it
        except InputError:
            raise
        except (pillow.DecompressionBombWarning, pillow.DecompressionBombError) as error:
            raise _error(path, f"it is too large: {in_short(error)}") from None
        except pillow.UnidentifiedImageError:
            raise _error(path, f"it is damaged, or no picture of the formats {', '.join(FORMATS)}") from None
        except Exception as error:  # a damaged picture can raise anything
            raise _error(path, f"it is damaged ({type(error).__name__}: {shown(in_short(error))})") from None
    return pixels_of(picture, form, lambda fault: _error(path, fault))


def pixels_of(picture: Any, form: Form, refusal: Callable[[str], InputError]) -> Pixels:
    """Return the pixels of a picture of Pillow, ``(channels, height, width)``, uint8.

    Args:
        picture: The picture, in the mode of the form.
        form: The form it is brought into.
        refusal: Returns the error with this fault, which names the picture.

    Raises:
        InputError: The picture becomes too large, or is smaller than the crop.
    """
    picture = _cropped(_resized(picture, form.resize, refusal), form.crop, refusal)
    pixels = np.asarray(picture, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _pillow() -> ModuleType:
    try:
        import PIL.Image
    except ImportError:
        raise InputError("--data images needs Pillow: pip install 'lossgrid[images]' or pip install pillow") from None
    return PIL.Image


def _resized(picture: Any, size: Size | int | None, refusal: Callable[[str], InputError]) -> Any:
    if size is None:
        return picture
    pillow = _pillow()
    width, height = picture.size
    if isinstance(size, int):  # the longer side is rounded down, as by torchvision
        shorter = min(width, height)
        size = (size * height // shorter, size * width // shorter)
    if pillow.MAX_IMAGE_PIXELS is not None and size[0] * size[1] > pillow.MAX_IMAGE_PIXELS:
        raise refusal(f"--data-arg resize makes {size[0]} x {size[1]} pixels of its {height} x {width}, too many")
    return picture.resize((size[1], size[0]), pillow.Resampling.BILINEAR)


def _cropped(picture: Any, size: Size | None, refusal: Callable[[str], InputError]) -> Any:
    if size is None:
        return picture
    width, height = picture.size
    if size[0] > height or size[1] > width:
        raise refusal(
            f"--data-arg crop: it has {height} x {width} pixels, fewer than {size[0]} x {size[1]}; give resize too"
        )
    top, left = round((height - size[0]) / 2), round((width - size[1]) / 2)
    return picture.crop((left, top, left + size[1], top + size[0]))


def _error(path: Path, fault: str) -> InputError:
    return InputError(f"--data images:FOLDER: {shown(path)}: {fault}")
