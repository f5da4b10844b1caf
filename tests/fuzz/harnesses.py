"""What is fuzzed: a function a target: bytes in, nothing out, an exception if a promise is broken.

The promise of every parser: any bytes give results or the error class that its docstring names, and
nothing else; what can be written again reads back the same; where the bytes are cut makes no
difference. `run.py` feeds these functions under atheris, `test_corpus.py` replays the kept inputs.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tests.fuzz import bus_targets, media_targets, rtmp_targets, rtp_targets, session_targets

Harness = Callable[[bytes], None]

HARNESSES: Mapping[str, Harness] = MappingProxyType(
    {
        function.__name__: function
        for function in (
            rtmp_targets.handshake,
            rtmp_targets.chunks,
            rtmp_targets.chunk_writing,
            rtmp_targets.amf0_values,
            rtmp_targets.messages,
            session_targets.server_session,
            session_targets.client_session,
            session_targets.snapshot,
            media_targets.flv_file,
            media_targets.video_body,
            media_targets.audio_body,
            media_targets.demuxer,
            media_targets.avc_record,
            media_targets.nal_units,
            media_targets.user_data,
            media_targets.sps,
            media_targets.hevc_record,
            media_targets.hevc_sps,
            media_targets.av1_record,
            media_targets.av1_unit,
            media_targets.aac_config,
            media_targets.splice_section,
            media_targets.transport_stream,
            bus_targets.bus_envelope,
            bus_targets.addresses,
            rtp_targets.publisher_packets,
            rtp_targets.rtcp_packet,
            rtp_targets.sdp_offer,
            rtp_targets.stun_message,
        )
    }
)
