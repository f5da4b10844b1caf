"""The table of where recordings are copied to, as a configuration file has it."""

import re
from typing import Annotated, Any, ClassVar, Final

from common.config.access_values import HookUrl
from common.config.keys import Holds, Table, key
from common.config.recording import Upload
from common.config.values import Bitrate, Boolean, Json, Kind, Text, whole

NOW, NEW_PROCESSES = Holds.NOW, Holds.NEW_PROCESSES
MAX_RATE: Final = 100_000_000_000
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9!_.*'()=+@,-]+(?:/[A-Za-z0-9!_.*'()=+@,-]+)*/?")
_REGION: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
MAX_PREFIX: Final = 256


class BucketName(Kind):
    """A bucket; servers of other makers than Amazon take capitals and underscores."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not _BUCKET.fullmatch(value):
            raise ValueError("must be the name of a bucket: 3 to 255 letters, digits, . _ or -")
        return value

    def range(self) -> str:
        return "3 to 255 letters, digits, `.`, `_` or `-`"

    def schema(self) -> Json:
        return {"type": "string", "pattern": whole(_BUCKET)}


class ObjectPrefix(Kind):
    """What names of objects begin with."""

    def read(self, value: Any) -> str:
        if value == "":
            return ""
        is_one = isinstance(value, str) and len(value) <= MAX_PREFIX and _PREFIX.fullmatch(value)
        if not is_one or not {".", ".."}.isdisjoint(str(value).split("/")):
            raise ValueError(
                'must be such as "farm1/recordings/": parts of letters, digits or any of '
                f"!_.*'()=+@,- with / between them, at most {MAX_PREFIX} characters"
            )
        return str(value)

    def range(self) -> str:
        return "letters, digits, `!_.*'()=+@,-` and `/`"

    def schema(self) -> Json:
        pattern = f"^(?:{_PREFIX.pattern})?$"
        return {"type": "string", "pattern": pattern, "maxLength": MAX_PREFIX}


class Region(Kind):
    """A region, as requests are signed for it."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not _REGION.fullmatch(value):
            raise ValueError('must be a region, such as "eu-central-1"')
        return value

    def range(self) -> str:
        return "small letters, digits and `-`"

    def schema(self) -> Json:
        return {"type": "string", "pattern": whole(_REGION)}


class UploadTable(Table):
    """`[templates.APP.record.upload]`."""

    title: ClassVar[str] = "a bucket that finished recordings are copied to"

    bucket: Annotated[str, BucketName()] = key(
        Upload,
        "bucket",
        "the bucket, which must be there. The first one of a farm needs a restart, since there is "
        "a process for it then",
        NOW,
        default="none",
        example="recordings",
    )
    endpoint: Annotated[str, HookUrl()] = key(
        Upload,
        "endpoint",
        "the server, which speaks S3",
        NOW,
        default="Amazon's of the region",
        example="https://s3.example.org:9000",
    )
    region: Annotated[str, Region()] = key(
        Upload,
        "region",
        "the region that requests are signed for; servers without regions take the default",
        NOW,
    )
    prefix: Annotated[str, ObjectPrefix()] = key(
        Upload,
        "prefix",
        "what names of objects begin with, in front of `APP/KEY/RENDITION/FILE`",
        NOW,
        default="none",
        example="farm1/",
    )
    credentials: Annotated[str, Text()] = key(
        Upload,
        "credentials_file",
        "a file with `aws_access_key_id` and `aws_secret_access_key` below `[default]`, an "
        "absolute path; it is read before each file that is sent",
        NEW_PROCESSES,
        default="the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the farm",
        example="/etc/tfarm/s3-credentials",
    )
    ca_file: Annotated[str, Text()] = key(
        Upload,
        "ca_file",
        "PEM file of the certificates that are trusted, an absolute path",
        NEW_PROCESSES,
        default="the system's",
        example="/etc/tfarm/s3-ca.pem",
    )
    path_style: Annotated[bool, Boolean()] = key(
        Upload,
        "is_path_style",
        "whether the bucket stands in the path, https://HOST/BUCKET/…, which all servers take, or "
        "in front of the host",
        NOW,
    )
    rate: Annotated[int, Bitrate(0, MAX_RATE)] = key(
        Upload,
        "rate_bps",
        "how fast files are sent at most, so that viewers have the line. 0: no limit",
        NOW,
    )
    delete_after_upload: Annotated[bool, Boolean()] = key(
        Upload,
        "deletes",
        "whether a file is removed here once it is in the bucket",
        NOW,
    )
