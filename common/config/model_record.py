"""The table of a template's recording, as a configuration file has it."""

from typing import Annotated, ClassVar

from common.config.key_values import StreamKey
from common.config.keys import Holds, Table, key, tables
from common.config.model_upload import UploadTable
from common.config.recording import Recording, Upload
from common.config.values import ByteCount, Name, Seconds, Text

NOW, NEW_PROCESSES = Holds.NOW, Holds.NEW_PROCESSES
MAX_BYTES = 1 << 50


class RecordTable(Table):
    """`[templates.APP.record]`."""

    title: ClassVar[str] = "files of what is streamed"

    directory: Annotated[str, Text()] = key(
        Recording,
        "directory",
        "where files are written, an absolute path that the farm's user may write to; each app has "
        "a folder in it. The first one of a farm, and another one, need a restart",
        NEW_PROCESSES,
        default="none",
        example="/var/lib/tfarm/recordings",
    )
    renditions: tuple[Annotated[str, Name()], ...] = key(
        Recording,
        "renditions",
        "what is recorded, each in files of its own: names of renditions, and `source`",
        NOW,
        schema={"uniqueItems": True},
    )
    rotate_after: Annotated[float, Seconds(1, 86_400)] = key(
        Recording,
        "rotate_s",
        "another file begins at the first keyframe after this long",
        NOW,
    )
    rotate_size: Annotated[int, ByteCount(0, MAX_BYTES)] = key(
        Recording,
        "rotate_bytes",
        "another file begins at the keyframe behind which one more group of pictures might be too "
        "much for this size. 0: no limit",
        NOW,
    )
    keep: Annotated[int, ByteCount(0, MAX_BYTES)] = key(
        Recording,
        "keep_bytes",
        "the oldest finished files of the app are removed while all of them are larger than this; "
        "what is still to be copied to a bucket only if the disk is nearly full. 0: no limit",
        NOW,
    )
    keys: tuple[Annotated[str, StreamKey()], ...] = key(
        Recording,
        "keys",
        "the streams that are recorded, by their keys; with none, all of the app",
        NOW,
    )
    upload: UploadTable = tables()

    def recording(self) -> Recording:
        """The recording that it stands for."""
        given = self.settings()
        if self.upload is not None:
            given["upload"] = Upload(**self.upload.settings())
        return Recording(**given)
