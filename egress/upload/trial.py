"""A process that writes one object to a bucket, and says what came of it (IO): for `tfarm doctor`.

python -P -m egress.upload.trial '{"bucket": "recordings", …}', with the fields of `Upload`. The
object is removed again, where the key may do that.
"""

import contextlib
import json
import os
import sys

from common.config.recording import Upload
from egress.upload.bucket import Bucket, UploadFailed, credentials_of
from egress.upload.credentials import taken_from

NAME = "tfarm-doctor.txt"
TEXT = b"tfarm doctor wrote this to see that it can. It may be removed.\n"


def problem(upload: Upload) -> str:
    """Why a bucket does not take files; "": it does."""
    name = upload.prefix + NAME
    try:
        bucket = Bucket(upload, credentials_of(upload, taken_from(os.environ)))
        bucket.put(name, TEXT)
    except UploadFailed as error:
        return str(error)
    with contextlib.suppress(UploadFailed):  # a key need not be allowed to
        bucket.remove(name)
    return ""


def main() -> None:
    """Print one JSON object."""
    json.dump({"problem": problem(Upload(**json.loads(sys.argv[1])))}, sys.stdout)


if __name__ == "__main__":
    main()
