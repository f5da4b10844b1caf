"""What a device must do for a session: decoder, scaler and encoder as protocols. Pure.

`worker/devices/software/` and `worker/devices/gpu/` implement them; `worker/session/` uses nothing
else. A `Picture` is one decoded frame, a `Surface` one scaled frame on the device; both are opaque
to the session but for what stands here.

Threads: one session calls its decoder and scaler from one thread, and each encoder from one thread,
which may be another. Opening and closing is serialised by the worker, and done on any thread.

Captions are none of a device's business: the session takes them from the access units and puts
them into the coded ones (`worker/frames/waiting_captions.py`), so an encoder must not write A53
SEI of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from common.codecs.table import CodecConfig
from common.config.ladder import Ladder, RenditionFormat
from common.ipc.control_messages import DeviceInfo
from common.media.pictures import PictureFormat
from worker.devices.source import DecoderConfig

if TYPE_CHECKING:  # it brings numpy, whose threads must not be there before the sandbox is
    from worker.pool.memory import PicturePool
    from worker.quality.kept_luma import KeptLuma


class Picture(Protocol):
    """One decoded frame, in display order. Valid until the decoder's next call on the GPU."""

    @property
    def pts_ms(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def sar(self) -> Fraction:
        """Width : height of a sample."""
        ...

    @property
    def is_damaged(self) -> bool:
        """Decoded with errors that the decoder concealed, or from references that had some."""
        ...

    def kept(self) -> "Picture":
        """The same picture, valid for as long as it is kept. In the decoder's thread.

        Raises DecodeFailed, DeviceLost.
        """
        ...

    def at(self, pts_ms: int) -> "Picture":
        """The same picture at another time; this one stays."""
        ...


# Surfaces of one rendition that a session lets wait for its encoder, the one being encoded
# included. It asks the scaler for no more until one is done, except where one decoder call gave
# more pictures.
SURFACE_BACKLOG = 4


class Surface(Protocol):
    """One rendition's frame on the device."""

    @property
    def pts_ms(self) -> int: ...

    def prepare(self) -> None:
        """Called once, in the encoder's thread, before `Encoder.encode`.

        Software scales here; on a GPU the launch is under way already and there is nothing to do.
        Raises EncodeFailed, DeviceLost.
        """
        ...

    def kept_luma(self) -> "KeptLuma":
        """Its luma, which stays as it is for as long as it is kept; after `prepare`."""
        ...


class SharedSurface(Surface, Protocol):
    """One rendition's frame in a pool that an encoder process maps too.

    `prepare` is called in the decoder's thread: behind it the frame is whole. The place is the
    surface's for as long as it is kept.
    """

    @property
    def slot(self) -> int:
        """Its place among the rendition's."""
        ...


@dataclass(frozen=True, slots=True)
class EncodedUnit:
    """One coded picture of a rendition."""

    pts_ms: int  # = DTS: there are no B-frames out
    is_idr: bool
    data: bytes  # as units have it, lengths of 4 bytes; parameter sets left out, but of AV1


class Decoder(Protocol):
    """Access units in, pictures in display order out, interlaced ones deinterlaced."""

    def decode(self, data: bytes, dts_ms: int, pts_ms: int) -> Sequence[Picture]:
        """Decode one access unit; the pictures that became ready, perhaps none.

        Raises:
            DecodeFailed: the unit is corrupt; go on with the next IDR.
            DeviceLost: the device is gone.
        """
        ...

    def reconfigure(self, config: DecoderConfig, pictures: PictureFormat) -> Sequence[Picture]:
        """New parameter sets from the next unit on; the pictures that were still inside.

        The codec may be another one. Raises DecodeFailed when the device cannot decode it.
        """
        ...

    def flush(self) -> Sequence[Picture]:
        """The pictures still inside; the next unit must be an IDR."""
        ...

    def look(self, picture: Picture) -> bytes | None:
        """A coarse grid of luma (`worker/frames/picture_content.py`); None where none is to be had.

        Of a picture that this decoder gave last; or, where the device hands it over later, of the
        picture of the call before. Called once a second.
        """
        ...

    def snapshot(self, picture: Picture) -> bytes | None:
        """A small JPEG of a picture that this decoder gave last; None where none is to be had.

        Called when somebody looks at the stream, every few seconds at most.
        """
        ...

    def close(self) -> None: ...


class Scaler(Protocol):
    """Pictures of any size to the frames of a ladder: scaled, letterboxed.

    The rectangle of a picture is the rendition's own for the size that the ladder was fitted to,
    else `worker.devices.letterbox.fit_picture`.
    """

    def scale(self, picture: Picture, wanted: Sequence[int]) -> Sequence[Surface]:
        """One surface for each wanted rendition index of the ladder, in that order.

        GPU: one launch for all. Follows a change of picture size by itself.

        Raises:
            DecodeFailed: this picture cannot be scaled; the next one may be.
            DeviceLost: the device is gone.
        """
        ...

    def close(self) -> None: ...


class Encoder(Protocol):
    """Surfaces of one rendition in, coded pictures out, each from the call that took its frame."""

    @property
    def config(self) -> CodecConfig:
        """The parameter sets of what comes out; known from the opening on."""
        ...

    def encode(self, surface: Surface, *, force_idr: bool) -> Sequence[EncodedUnit]:
        """Raises EncodeFailed (this rendition), DeviceLost (all)."""
        ...

    def flush(self) -> Sequence[EncodedUnit]: ...

    def close(self) -> None:
        """May be called again."""
        ...


class Backend(Protocol):
    """A device, opened once a process."""

    @property
    def info(self) -> DeviceInfo: ...

    def open_decoder(self, config: DecoderConfig, pictures: PictureFormat) -> Decoder:
        """Raises DecodeFailed when the device cannot decode such a stream, with the reason."""
        ...

    def open_scaler(self, ladder: Ladder, pictures: PictureFormat) -> Scaler:
        """`pictures` tells the size that the ladder was fitted to, and what colours come in."""
        ...

    def open_shared_scaler(
        self, ladder: Ladder, pictures: PictureFormat, pool: "PicturePool"
    ) -> Scaler:
        """As `open_scaler`; its surfaces are `SharedSurface`s in a pool of the same renditions."""
        ...

    def open_encoder(
        self, rendition: RenditionFormat, pictures: PictureFormat, fps: Fraction
    ) -> Encoder:
        """An encoder of `rendition` for about `fps` frames a second: rate control goes by that.

        `pictures` tells the colour. Raises EncodeFailed with the real reason.
        """
        ...

    def close(self) -> None: ...
