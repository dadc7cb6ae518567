"""config.pbtxt of Triton as its protobuf message."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig


def parse(text: str) -> "ModelConfig":
    """Returns a config.pbtxt as Triton's protobuf message. Raises google.protobuf.text_format.ParseError."""
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    return text_format.Parse(text, ModelConfig())


def render(config: "ModelConfig") -> str:
    """Returns the message as config.pbtxt, checked by parsing it back."""
    from google.protobuf import text_format

    text: str = text_format.MessageToString(config)
    assert parse(text) == config, text
    return text
