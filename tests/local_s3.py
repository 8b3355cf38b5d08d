"""A server of the S3 protocol on this machine, for tests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer

from foundation import objects

REGION = "eu-central-1"


@contextmanager
def s3_server() -> Iterator[str]:
    """Start the server, tell this process and those it starts of it as people do; its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    put, one_at_a_time = S3Response._key_response_put, threading.Lock()

    def put_alone(*args, **more):
        # A bucket judges the condition and writes in one step; this server in two.
        with one_at_a_time:
            return put(*args, **more)

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    told = {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Response, "_key_response_put", put_alone)
        for name, value in told.items():
            patch.setenv(name, value)
        objects._client.cache_clear()
        yield told["AWS_ENDPOINT_URL_S3"]
    objects._client.cache_clear()
    running.stop()


def make_bucket(name: str) -> None:
    """Make a bucket of that name."""
    where = {"LocationConstraint": REGION}
    objects._client().create_bucket(Bucket=name, CreateBucketConfiguration=where)
