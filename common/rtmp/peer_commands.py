"""What a peer's commands do to its connection (RTMP 1.0 sections 7.2.1 and 7.2.2). Pure.

Requests are raised as events and wait; everything else is answered here, in the way that the known
clients wait for. Handshake, chunks, media and the application's answers are the session's.
"""

from collections.abc import Mapping
from typing import Final

from common.errors import Amf0Error, ProtocolError
from common.flv import amf0
from common.rtmp import enhanced, replies
from common.rtmp.config import SessionConfig
from common.rtmp.events import (
    ConnectRequested,
    PlayEnded,
    PlayPauseRequested,
    PlayReceiveChanged,
    PlayRequested,
    PublishEnded,
    PublishRequested,
)
from common.rtmp.message_streams import MessageStream, StreamUse
from common.rtmp.messages import Command, UserControl, user_control
from common.rtmp.requests import PendingConnect
from common.rtmp.server_state import ServerState, Stage

# How many values behind the transaction id a command is read with, the command object first. All
# others are answered, if at all, without a look at what they hold.
COMMAND_VALUES: Final[Mapping[str, int]] = {
    "connect": 1,
    "publish": 3,  # name, kind
    "play": 5,  # name, start, duration, reset
    "deleteStream": 2,
    "pause": 2,
    "pauseraw": 2,
    "receiveAudio": 2,
    "receiveVideo": 2,
}


class PeerCommands:
    """Of one connection."""

    def __init__(self, state: ServerState, config: SessionConfig) -> None:
        self._state = state
        self._max_streams = config.max_message_streams

    # long: an arm for each command
    def handle(self, command: Command) -> None:  # noqa: C901
        """Do what a command says. Raises ProtocolError."""
        state = self._state
        if state.stage is Stage.REFUSED:
            return
        if command.name == "connect":
            self._connect(command)
            return
        if state.stage is Stage.UNCONNECTED:
            raise ProtocolError(f"{command.name[:40]!r} before connect")
        match command.name:
            case "createStream":
                self._create_stream(command)
            case "publish":
                self._publish(command)
            case "play":
                self._play(command)
            case "FCPublish":
                if command.transaction_id != 0:
                    state.out.append(
                        replies.fc_publish(state.out_chunk_size, command.transaction_id)
                    )
            case "FCUnpublish":
                self._fc_unpublish(command)
            case "deleteStream":
                self._delete_stream(command)
            case "closeStream":
                self._end_use(command.message_stream_id, command.name)
            case "getStreamLength":
                self._reply_result(command, 0.0)  # 0: unknown, which is what live is
            case "pause" | "pauseraw":
                self._pause(command)
            case "seek":
                self._seek(command)
            case "receiveAudio" | "receiveVideo":
                self._receive(command)
            case _:
                # releaseStream, _checkbw, FCSubscribe and whatever else wants an answer.
                self._reply_result(command, None)

    # ---- the connection -----------------------------------------------------------------------

    def _connect(self, command: Command) -> None:
        state = self._state
        if state.stage is not Stage.UNCONNECTED:
            raise ProtocolError("connect came twice")
        state.stage = Stage.CONNECT_PENDING
        members = command.command_object
        if not isinstance(members, dict):
            raise Amf0Error("connect without its object")
        state.app = _text(members.get("app"))
        # Some clients spell it tcurl and put the URL in quotes.
        state.tc_url = _text(members.get("tcUrl", members.get("tcurl"))).strip("'")
        state.flash_version = _text(members.get("flashVer"))
        encoding = members.get("objectEncoding")
        state.object_encoding = encoding if isinstance(encoding, float) else 0.0
        request_id = state.requests.next_id()
        state.fourccs = enhanced.named_fourccs(members)
        state.requests.add(
            request_id, PendingConnect(command.transaction_id, enhanced.is_enhanced(members))
        )
        state.events.append(
            ConnectRequested(request_id, state.app, state.tc_url, state.flash_version)
        )

    def _create_stream(self, command: Command) -> None:
        stream_id = self._state.streams.create()
        if stream_id is not None:
            self._reply_result(command, float(stream_id))
        elif command.transaction_id != 0:
            self._state.out.append(
                replies.error(
                    self._state.out_chunk_size,
                    command.transaction_id,
                    "NetConnection.Call.Failed",
                    f"no more than {self._max_streams} streams on a connection",
                )
            )

    def _reply_result(self, command: Command, value: amf0.Value) -> None:
        if command.transaction_id != 0:
            self._state.out.append(
                replies.result(self._state.out_chunk_size, command.transaction_id, None, value)
            )

    # ---- requests -----------------------------------------------------------------------------

    def _publish(self, command: Command) -> None:
        if self._stops(command):
            return
        state, stream_id = self._state, command.message_stream_id
        if state.is_handed_over:
            why = "a connection that has played cannot publish; connect anew"
            state.send_status(stream_id, "error", "NetStream.Failed", why)
            return
        stream = self._open(stream_id, "NetStream.Failed")
        if stream is None:
            return
        if stream.use is not StreamUse.IDLE or state.streams.publishing() is not None:
            why = "this connection publishes or plays already"
            state.send_status(stream_id, "error", "NetStream.Publish.BadName", why)
            return
        stream.use = StreamUse.PUBLISH_PENDING
        request = PublishRequested(
            request_id=state.requests.next_id(),
            message_stream_id=stream_id,
            app=state.app,
            tc_url=state.tc_url,
            name=command.text(0),
            publish_type=command.text(1, "live"),
        )
        state.requests.add(request.request_id, request)
        state.events.append(request)

    def _play(self, command: Command) -> None:
        if self._stops(command):
            return
        state, stream_id = self._state, command.message_stream_id
        if state.streams.publishing() is not None:
            why = "a connection that publishes cannot play; connect anew"
            state.send_status(stream_id, "error", "NetStream.Play.Failed", why)
            return
        stream = self._open(stream_id, "NetStream.Play.Failed")
        if stream is None:
            return
        self._end_use(stream_id, command.name)
        stream.use = StreamUse.PLAY_PENDING
        request = PlayRequested(
            request_id=state.requests.next_id(),
            message_stream_id=stream_id,
            app=state.app,
            tc_url=state.tc_url,
            name=command.text(0),
            start=command.number(1, -2.0),
            reset=command.flag(3, True),
        )
        state.requests.add(request.request_id, request)
        state.events.append(request)

    def _stops(self, command: Command) -> bool:
        """Whether it is Flash's way to stop, which is done then."""
        if command.arguments[:1] and command.arguments[0] is False:
            self._end_use(command.message_stream_id, command.name)
            return True
        return False

    def _open(self, stream_id: int, code: str) -> MessageStream | None:
        """The stream, which need not be created: FFmpeg stays on 0 if it could not read the id."""
        stream = self._state.streams.open(stream_id)
        if stream is None:
            self._state.send_status(stream_id, "error", code, "too many streams")
        return stream

    # ---- the end of a stream's use ------------------------------------------------------------

    def _fc_unpublish(self, command: Command) -> None:
        state = self._state
        stream_id = state.streams.publishing()
        if stream_id is not None:
            state.out.append(replies.fc_unpublish(state.out_chunk_size, command.transaction_id))
            self._end_use(stream_id, command.name)
        else:
            self._reply_result(command, None)

    def _delete_stream(self, command: Command) -> None:
        streams = self._state.streams
        number = command.number(0, -1.0)
        if 0 <= number <= 0xFFFFFFFF:
            stream_id = int(number)
        else:
            # GStreamer sends the stream's name, others nothing: they mean the one in use.
            in_use = streams.in_use()
            stream_id = command.message_stream_id if in_use is None else in_use
        self._end_use(stream_id, command.name)
        streams.delete(stream_id)

    def _end_use(self, stream_id: int, how: str) -> None:
        """Ends what a message stream is used for and says so, once."""
        state = self._state
        stream = state.streams.get(stream_id)
        if stream is None:
            return
        use, stream.use = stream.use, StreamUse.IDLE
        match use:
            case StreamUse.PUBLISHING:
                state.publishing = None
                state.send_status(
                    stream_id, "status", "NetStream.Unpublish.Success", "Stopped publishing"
                )
                state.events.append(PublishEnded(stream_id, how))
            case StreamUse.PUBLISH_PENDING:
                state.requests.withdraw_publish()
                state.events.append(PublishEnded(stream_id, how))
            case StreamUse.PLAYING:
                state.events.append(PlayEnded(stream_id, how))
            case _:
                pass

    # ---- while playing ------------------------------------------------------------------------

    def _playing(self, command: Command) -> MessageStream | None:
        stream = self._state.streams.get(command.message_stream_id)
        return stream if stream is not None and stream.use is StreamUse.PLAYING else None

    def _pause(self, command: Command) -> None:
        if self._playing(command) is None:
            return
        state, stream_id = self._state, command.message_stream_id
        paused = command.flag(0, True)
        if paused:
            # Without the StreamEOF of the specification: it would end GStreamer's pipeline.
            state.send_status(stream_id, "status", "NetStream.Pause.Notify", "Paused")
        else:
            state.out.append(user_control(UserControl.STREAM_BEGIN, stream_id))
            state.send_status(stream_id, "status", "NetStream.Unpause.Notify", "Resumed")
        state.events.append(PlayPauseRequested(stream_id, paused))

    def _seek(self, command: Command) -> None:
        # FFmpeg and librtmp discard everything until this comes, so a live server says it too.
        if self._playing(command) is not None:
            self._state.send_status(
                command.message_stream_id, "status", "NetStream.Seek.Notify", "Live: no seeking"
            )

    def _receive(self, command: Command) -> None:
        stream = self._playing(command)
        if stream is None:
            return
        state, stream_id = self._state, command.message_stream_id
        wanted = command.flag(0, True)
        resumed = wanted and not (stream.audio if command.name == "receiveAudio" else stream.video)
        if command.name == "receiveAudio":
            stream.audio = wanted
        else:
            stream.video = wanted
        if resumed:  # RTMP 1.0 sections 7.2.2.4 and 7.2.2.5
            state.send_status(stream_id, "status", "NetStream.Seek.Notify", "Receiving again")
            state.send_status(stream_id, "status", "NetStream.Play.Start", "Start playing")
        state.events.append(PlayReceiveChanged(stream_id, stream.audio, stream.video))


def _text(value: amf0.Value) -> str:
    return value if isinstance(value, str) else ""
