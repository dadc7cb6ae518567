# The serving image: Triton, its Python backend, a listener before it, and one release's models. Three stages of it are built:
#   nvidia    NVIDIA's server with the packages that our models import: made once for each requirements file, shared by all releases
#   server    the server of the wheel, where NVIDIA's image cannot be pulled
#   release   a release's models upon SERVER, as the last layers
# Their build contexts: requirements.txt for nvidia and server; embedder/, detector/ and release/ (each with a part of the model
# repository) and server/ for release. The parts that change least come first, so that a release adds only its new layers.
ARG BASE=debian:bookworm-slim
ARG SERVER=server
# 25.07 fixes the vulnerabilities of older ones (CVE-2025-23310, -23311, -23319, -23320, -23334)
ARG NVIDIA=nvcr.io/nvidia/tritonserver:25.07-py3

FROM ${BASE} AS python
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 libpython3.11 ca-certificates haproxy \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*

# pip works here and stays here
FROM python AS environment
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
RUN python3 -m venv /opt/serving
COPY requirements.txt /tmp/requirements.txt
RUN --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache/pip \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    /opt/serving/bin/pip install --quiet --disable-pip-version-check --no-compile -r /tmp/requirements.txt
# where NVIDIA's image has them, so that both take the same command
RUN wheel="$(echo /opt/serving/lib/python3*/site-packages)/pytriton/tritonserver" \
    && stub="$wheel/python_backend_stubs/$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')/triton_python_backend_stub" \
    && mkdir -p /opt/tritonserver \
    && mv "$wheel/bin" "$wheel/backends" "$wheel/caches" /opt/tritonserver/ \
    && mv "$stub" /opt/tritonserver/backends/python/ \
    && chmod 755 /opt/tritonserver/backends/python/triton_python_backend_stub /opt/tritonserver/bin/tritonserver \
    && mv "$(echo /opt/serving/lib/python3*/site-packages)/nvidia_pytriton.libs" /opt/tritonserver/lib \
    && rm -rf "$wheel/python_backend_stubs" /opt/serving/lib/python3*/site-packages/pip /opt/serving/lib/python3*/site-packages/pip-* \
        /opt/serving/bin/pip* \
    && /opt/serving/bin/python -c "import numpy, openvino, PIL.Image; PIL.Image.init()"  # bytecode: containers are read-only

FROM python AS server
COPY --from=environment /opt/serving /opt/serving
COPY --from=environment /opt/tritonserver /opt/tritonserver
ENV PATH=/opt/serving/bin:/opt/tritonserver/bin:/usr/bin:/bin \
    LD_LIBRARY_PATH=/opt/tritonserver/lib

FROM ${NVIDIA} AS nvidia
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends haproxy \
    && rm -rf /var/lib/apt/lists/*
COPY requirements.txt /tmp/requirements.txt
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    grep -v nvidia-pytriton /tmp/requirements.txt >/tmp/models.txt \
    && PIP_BREAK_SYSTEM_PACKAGES=1 pip install --quiet --no-cache-dir -r /tmp/models.txt

FROM ${SERVER} AS release
COPY server /opt/face-assets
COPY embedder /models
COPY detector /models
COPY release /models
ENV OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8000 8001 8002
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 CMD ["python3", "/opt/face-assets/serve.py", "--is-healthy"]
ENTRYPOINT ["python3", "/opt/face-assets/serve.py"]
