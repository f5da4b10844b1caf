"""The `rtc` child's shell (IO): an egress that is no home, with WebRTC as its only output."""

from common.config.settings import Listen
from common.ipc.child import ChildProcess
from egress.rtc.output import WhepOutput
from egress.service import ViewerService


class RtcService(ViewerService):
    """A `ChildService`."""

    def __init__(self, process: ChildProcess, listen: Listen) -> None:
        super().__init__(process, (WhepOutput,), lambda settings: settings.webrtc.max_viewers)
        self._listen_at = listen

    async def listen(self) -> None:
        for output in self.egress.outputs:
            assert isinstance(output, WhepOutput)
            await output.listen(self._listen_at.host, self._listen_at.port)
