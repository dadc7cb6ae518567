"""Packaging: what the platform needs and why. The tried pins stand in requirements.txt."""

from pathlib import Path

from setuptools import find_packages, setup


def _shared() -> list[tuple[str, list[str]]]:
    """The files beside the package, by the folder in which face_assets/core/project_files.py finds them."""
    folders: dict[str, list[str]] = {}
    for file in sorted(path for top in ("deploy", "triton_models") for path in Path(top).rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            folders.setdefault(f"share/face-assets/{file.parent}", []).append(str(file))
    return [("share/face-assets", ["definitions.py", "workspace.yaml"]), *folders.items()]


setup(
    name="face-assets",
    version="0.1.0",
    description="A Dagster asset-oriented data platform for face recognition",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["face_assets", "face_assets.*"]),
    package_data={"face_assets": ["**/*.json", "**/*.yaml"]},
    data_files=_shared(),
    py_modules=["definitions"],
    entry_points={"console_scripts": ["face-assets = face_assets.cli.main:main"]},
    install_requires=[
        "dagster>=1.13",  # assets, runs, event log
        "dagster-webserver>=1.13",  # the UI and GraphQL
        "dagster-graphql>=1.13",  # launching runs from outside
        "dagster-docker>=0.29",  # runs in containers
        "dagster-postgres>=0.29",  # the event log of the platform in containers
        "sqlalchemy<2.1",  # 2.1 reads postgresql:// as psycopg3, which Dagster does not use
        "dvc>=3.67",  # versions of photos and releases
        "dvc-s3>=3.3",  # DVC remotes on S3
        "configobj>=5.0.9",  # DVC's configuration, read and written as DVC does
        "hydra-core>=1.4.0rc3",  # 1.3 (by dvc) pins an antlr4 that breaks Dagster's selection strings
        "antlr4-python3-runtime>=4.13",  # the same
        "gto>=1.10",  # releases and stages as git tags
        "torch>=2.2",  # the embedder
        "facenet-pytorch>=2.5.3",  # MTCNN and InceptionResnetV1
        "lightning>=2.6",  # the training loop, with checkpoints
        "pytorch-metric-learning>=2.9",  # margin losses and samplers
        "onnx>=1.23",  # exported embedder
        "onnxscript",  # torch's ONNX exporter
        "onnxruntime>=1.32",  # parity of the ONNX file
        "openvino>=2026.4",  # the engine, on any CPU
        "nncf>=3.4",  # the engine in int8
        "h5py",  # Keras facenet weights
        "scikit-learn>=1.9",  # ROC and AUC
        "matplotlib>=3.10",  # plots
        "numpy>=1.26",
        "pillow>=12",  # decoding photos
        "tritonclient[http,grpc]>=2.50",  # asking the server, and config.pbtxt's protobuf
        "prometheus-client>=0.20",  # metrics
        "aiohttp>=3.10",  # HTTP of the embedded server's frontend; tritonclient brings it
        "grpcio>=1.60",  # gRPC of the same; tritonclient brings it
        "pydantic-settings",  # settings and parameters, typed
        "pyyaml",  # params.yaml and .dvc files
        "click",  # the command
        "tqdm",  # progress bars
        "psutil>=6",  # the processes and sockets of the server
        "docker>=7.1",  # the docker target's engine
        "jinja2>=3.1",  # haproxy.cfg
        "slack_sdk>=3.27",  # telling a Slack channel of problems
    ],
)
