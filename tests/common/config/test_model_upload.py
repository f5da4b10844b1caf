"""common/config/model_upload.py: names of buckets and of objects, as a file has them."""

import pytest

from common.config.model_upload import BucketName, ObjectPrefix, Region, UploadTable
from common.config.recording import Upload


@pytest.mark.parametrize("text", ["", "a/", "farm1/live", "2026_(x)-", "a.b/c=d/"])
def test_a_prefix_is_taken(text: str) -> None:
    assert ObjectPrefix().read(text) == text


@pytest.mark.parametrize(
    "value", ["/a", "a//b", "..", "./a", "a/../b", "a b", "\u00fc", "a" * 257, 1]
)
def test_one_that_would_be_another_place_is_not(value: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        ObjectPrefix().read(value)


@pytest.mark.parametrize("value", ["", "ab", "a/b", ".ab", "a" * 256, 7])
def test_what_is_no_bucket_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a bucket"):
        BucketName().read(value)


@pytest.mark.parametrize("value", ["", "eu central", "EU", 7])
def test_what_is_no_region_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a region"):
        Region().read(value)


def test_a_table_gives_its_setting() -> None:
    table = UploadTable.model_validate(
        {"bucket": "abc", "endpoint": "https://h:9000/", "rate": "2M"}
    )
    upload = Upload(**table.settings())
    assert upload == Upload("abc", "https://h:9000/", rate_bps=2_000_000)
    assert upload.shown == "https://h:9000/abc"
    assert Upload("abc", region="eu-west-1").shown == "https://s3.eu-west-1.amazonaws.com/abc"
