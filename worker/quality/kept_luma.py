"""A scaled picture's luma, kept until it is compared. Pure."""

from typing import TYPE_CHECKING, Protocol

from worker.devices.letterbox import Rectangle

if TYPE_CHECKING:  # it brings numpy, whose threads must not be there before the sandbox is
    from worker.quality.ssim import Likeness, Luma


class KeptLuma(Protocol):
    """The luma of one rendition's frame, wherever it lies; it stays as it is while it is kept."""

    def compare(self, coded: "Luma", place: Rectangle) -> "Likeness":
        """Compare it with the same picture as it was coded, within `place`.

        In the thread that measures. Raises ValueError where sizes differ, and what a device raises.
        """
        ...


class HostLuma:
    """One in host memory."""

    __slots__ = ("_luma",)

    def __init__(self, luma: "Luma") -> None:
        """`luma` is nobody's to write any more."""
        self._luma = luma

    def compare(self, coded: "Luma", place: Rectangle) -> "Likeness":
        from worker.quality.ssim import compare, part_of

        if coded.shape != self._luma.shape:
            raise ValueError(f"a picture of {coded.shape} for one of {self._luma.shape}")
        return compare(part_of(self._luma, place), part_of(coded, place))
