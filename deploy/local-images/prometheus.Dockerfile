# Debian's Prometheus behind the interface of the official image, as far as deploy/compose.yaml uses it: for machines that reach no
# registry. Everywhere else PROMETHEUS_IMAGE is the official image.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus wget \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /var/lib/prometheus \
    && mkdir -p /prometheus \
    && chown nobody:nogroup /prometheus
USER nobody
ENTRYPOINT ["/usr/bin/prometheus"]
