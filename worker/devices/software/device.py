"""The host's cores as a device: libavcodec, libswscale, libx264 as a `worker.devices.backend`."""

import os
from fractions import Fraction

import av
import psutil

from common.config.ladder import Ladder, Pipeline, RenditionFormat
from common.errors import BootFailed
from common.ipc.control_messages import DeviceInfo
from common.media.pictures import PictureFormat
from worker.devices.software.decode import DECODERS, SoftDecoder
from worker.devices.software.encode import SoftEncoder, encoded_here
from worker.devices.software.scale import SoftScaler, pixel_format
from worker.devices.software.shared import SharedSoftScaler
from worker.devices.source import DecoderConfig
from worker.pool.memory import PicturePool


class SoftBackend:
    """A `worker.devices.backend.Backend`."""

    def __init__(self, name: str, encoder_threads: int = 1) -> None:
        """Raises BootFailed when FFmpeg's build lacks a codec."""
        try:
            for decoder in DECODERS:
                av.Codec(decoder, "r")
            av.Codec("libx264", "w")
        except ValueError as error:
            raise BootFailed(f"this FFmpeg lacks a codec: {error}") from error
        self._encoder_threads = encoder_threads
        cores = len(os.sched_getaffinity(0))
        self._info = DeviceInfo(
            name=name,
            kind="software",
            label=f"{cores} core{'s' if cores != 1 else ''}, libx264",
            path=Pipeline.SOFTWARE,
            memory_bytes=psutil.virtual_memory().total,
            encodes=encoded_here(),
        )

    @property
    def info(self) -> DeviceInfo:
        return self._info

    def open_decoder(self, config: DecoderConfig, pictures: PictureFormat) -> SoftDecoder:
        return SoftDecoder(config, pictures)

    def open_scaler(self, ladder: Ladder, pictures: PictureFormat) -> SoftScaler:
        return SoftScaler(ladder, pictures)

    def open_shared_scaler(
        self, ladder: Ladder, pictures: PictureFormat, pool: PicturePool
    ) -> SharedSoftScaler:
        return SharedSoftScaler(ladder, pictures, pool)

    def open_encoder(
        self, rendition: RenditionFormat, pictures: PictureFormat, fps: Fraction
    ) -> SoftEncoder:
        return SoftEncoder(
            rendition,
            pictures,
            fps,
            pixel_format=pixel_format(pictures),
            threads=self._encoder_threads,
        )

    def close(self) -> None:
        """Nothing is held."""
