"""Why a server did not take a file, in words for the operator. Pure.

The library's errors hold a server's whole answer and the object's name, which holds a stream key:
only what is known of them is taken over.
"""

import re
from collections.abc import Mapping
from typing import Final

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>\s*([A-Za-z]{1,64})\s*</Code>")
# What S3's codes mean here.
_CODES: Final[Mapping[str, str]] = {
    "AccessDenied": "the key may not write there: give it s3:PutObject",
    "InvalidAccessKeyId": "it does not know the key: look at `credentials`",
    "SignatureDoesNotMatch": "the secret is not the key's: look at `credentials`",
    "InvalidToken": "the session token is none: look at `credentials`",
    "ExpiredToken": "the credentials have expired",
    "RequestTimeTooSkewed": "this host's clock is wrong",
    "NoSuchBucket": "there is no such bucket: make it",
    "InvalidBucketName": "there is no such bucket: look at its name",
    "PermanentRedirect": "the bucket is in another region: set `region`",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set `region`",
    "IllegalLocationConstraintException": "the bucket is in another region: set `region`",
    "QuotaExceeded": "the bucket is full",
    "SlowDown": "it wants fewer requests",
    "EntityTooLarge": "the file is too large for it: set `rotate_size`",
}
# What the words of an error without an answer mean, the first that is found.
_WORDS: Final[Mapping[str, str]] = {
    "dns error": "its name has no address",
    "failed to lookup": "its name has no address",
    "Connection refused": "nobody listens there",
    "Network is unreachable": "there is no way to it",
    "No route to host": "there is no way to it",
    "UnknownIssuer": "its certificate is of an authority that is not known: set `ca_file`",
    "NotValidForName": "its certificate is for another name",
    "certificate": "its certificate is not good",
    "TimedOut": "it does not answer in time",
    "timed out": "it does not answer in time",
    "reset by peer": "it ended the connection",
    "Broken pipe": "it ended the connection",
    "IncompleteMessage": "it ended the connection",
}
OTHER: Final = "it cannot be reached"


def why(error: str) -> str:
    """The words for the text of one of the library's errors."""
    status, code = _STATUS.search(error), _CODE.search(error)
    if code is not None:
        words = _CODES.get(code[1])
        return f"{words} ({code[1]})" if words else f"it answers {code[1]}"
    if status is not None:
        return f"it answers HTTP {status[1]}"
    return next((words for sign, words in _WORDS.items() if sign in error), OTHER)
