"""A server of S3, as moto gives one that checks signatures: keys come from the environment and stand nowhere else."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "faces"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


@contextmanager
def s3_server(environment: pytest.MonkeyPatch, nowhere: Path) -> Iterator[str]:
    """A server with one bucket and one user, whose keys stand in the environment; gives the secret key."""
    for name, value in {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        environment.setenv(name, value)
    environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        environment.setenv(name, str(nowhere))
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    _tell(f"http://{host}:{port}/moto-api/reset-auth", b"1000")
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    iam = boto3.client("iam")
    iam.create_user(UserName="platform")
    iam.put_user_policy(UserName="platform", PolicyName="all", PolicyDocument=json.dumps(EVERYTHING))
    keys = iam.create_access_key(UserName="platform")["AccessKey"]
    _tell(f"http://{host}:{port}/moto-api/reset-auth", b"0")  # from here on every request needs a good signature
    environment.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    environment.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    yield keys["SecretAccessKey"]
    _tell(f"http://{host}:{port}/moto-api/reset", b"")
    server.stop()


def _tell(address: str, words: bytes) -> None:
    with urllib.request.urlopen(urllib.request.Request(address, words, {"Content-Type": "text/plain"})):
        return
