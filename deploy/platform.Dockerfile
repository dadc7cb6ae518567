# The platform image: code location, webserver, daemon and every run. Made by `make platform-image`, which collects the wheels on
# the host first (`make wheels`): there pip's own configuration says where torch's CPU build is, and nothing is fetched in here.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS python
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        python3 ca-certificates git openssh-client libgomp1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*

FROM python AS environment
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv docker.io
RUN python3 -m venv /opt/venv
COPY requirements.txt requirements-nodeps.txt /tmp/
RUN --mount=type=bind,source=build/wheels,target=/wheels \
    grep -h torch== /tmp/requirements.txt >/tmp/torch.txt \
    && install="/opt/venv/bin/pip install --quiet --disable-pip-version-check --no-index --find-links /wheels --no-compile" \
    && $install -r /tmp/torch.txt -r /tmp/requirements.txt \
    && $install --no-deps -r /tmp/requirements-nodeps.txt \
    && rm -rf /opt/venv/lib/python3*/site-packages/torch/include /opt/venv/lib/python3*/site-packages/torch/test
ARG KUBERNETES=
COPY deploy/requirements-kubernetes.txt /tmp/
RUN --mount=type=bind,source=build/wheels,target=/wheels \
    if [ -n "$KUBERNETES" ]; then \
        /opt/venv/bin/pip install --quiet --disable-pip-version-check --no-index --find-links /wheels --no-compile \
            -r /tmp/requirements-kubernetes.txt; \
    fi

FROM python AS platform
# of Docker the client alone, with which triton_image is built and runs are launched through the host's socket
COPY --from=environment /usr/bin/docker /usr/bin/docker
COPY --from=environment /opt/venv /opt/venv
COPY definitions.py workspace.yaml setup.py requirements.txt /opt/face-assets/
COPY triton_models /opt/face-assets/triton_models
COPY deploy /opt/face-assets/deploy
COPY face_assets /opt/face-assets/face_assets
RUN echo /opt/face-assets > "$(echo /opt/venv/lib/python3*/site-packages)/face-assets.pth" \
    && printf '#!/opt/venv/bin/python\nfrom face_assets.cli.main import main\nmain()\n' > /opt/venv/bin/face-assets \
    && chmod 755 /opt/venv/bin/face-assets /opt/face-assets/deploy/platform/entrypoint \
    && git config --system --add safe.directory '*' \
    && mkdir -p /var/lib/face-assets /var/log/face-assets /opt/dagster/dagster_home \
    && chmod 1777 /var/lib/face-assets /var/log/face-assets /opt/dagster /opt/dagster/dagster_home
# bytecode of what services and runs import: on their read-only file system every process would compile it anew
RUN HOME=/tmp/home && cd /opt/venv && bin/python -m compileall -q /opt/face-assets && bin/python -W ignore -c "\
import dagster._cli, dagster._daemon.cli, dagster._grpc.server, dagster_docker, dagster_graphql, dagster_postgres, dagster_webserver.cli; \
import dvc.cli, gto.api, lightning, matplotlib.pyplot, nncf, onnx, openvino, pytorch_metric_learning.losses, sklearn.cluster, torch.onnx" \
    && rm -rf /tmp/*
# several runs share the cores: torch's threads that wait for each other leave them to the others
ENV PATH=/opt/venv/bin:/usr/bin:/bin \
    DAGSTER_HOME=/opt/dagster \
    FACE_ASSETS_DAGSTER_HOME=/opt/dagster \
    FACE_ASSETS_HOME=/var/lib/face-assets \
    HOME=/tmp \
    OMP_WAIT_POLICY=PASSIVE \
    PYTHONUNBUFFERED=1
WORKDIR /opt/face-assets
USER 10001:10001
ENTRYPOINT ["/opt/face-assets/deploy/platform/entrypoint"]
CMD ["dagster", "--version"]
