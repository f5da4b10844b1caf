"""What of a template's streams is recorded, where, and where files are copied to. Pure values."""

from dataclasses import dataclass, field
from typing import Final

DEFAULT_ROTATE_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Upload:
    """The bucket of an S3-compatible server that finished recordings are copied to."""

    bucket: str = ""  # "": nothing is copied
    endpoint: str = ""  # "": Amazon's of the region
    region: str = "us-east-1"
    prefix: str = ""  # of the objects' names
    credentials_file: str = ""  # "": the environment has them
    ca_file: str = ""  # of the certificates that are trusted; "": the system's
    is_path_style: bool = True  # https://HOST/BUCKET/…, and not https://BUCKET.HOST/…
    rate_bps: int = 0  # of all that is sent to the bucket; 0: no limit
    deletes: bool = False  # the files, once they are there

    @property
    def url(self) -> str:
        """Whom to call."""
        return (self.endpoint or f"https://s3.{self.region}.amazonaws.com").rstrip("/")

    @property
    def shown(self) -> str:
        """The bucket and its server, for people; no credential stands in it."""
        return f"{self.url}/{self.bucket}"


@dataclass(frozen=True, slots=True)
class Recording:
    """The recording of an app's streams."""

    directory: str = ""  # "": nothing is recorded
    renditions: tuple[str, ...] = ("source",)
    rotate_s: float = DEFAULT_ROTATE_S  # of stream time in a file
    rotate_bytes: int = 0  # of a file; 0: no limit
    keep_bytes: int = 0  # of all finished files of the app; 0: no limit
    keys: tuple[str, ...] = ()  # of the streams; empty: of all
    upload: Upload = field(default_factory=Upload)

    def takes(self, key: str) -> bool:
        """Whether a stream of the app is recorded."""
        return bool(self.directory) and (not self.keys or key in self.keys)

    @property
    def is_uploaded(self) -> bool:
        """Whether its files are copied to a bucket."""
        return bool(self.directory and self.upload.bucket)
