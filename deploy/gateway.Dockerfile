# The gateway image: HAProxy and nothing else. Its configuration, keys and certificate come in a volume, never in the image.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends haproxy socat \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
    && mkdir -p /etc/face-assets && chown 10001:10001 /etc/face-assets
USER 10001:10001
EXPOSE 8000 8001 8002
HEALTHCHECK --interval=5s --timeout=4s --start-period=10s --retries=3 \
    CMD ["sh", "-c", "echo 'show info' | socat -t 3 - UNIX-CONNECT:/run/haproxy/admin.sock | grep -q ^Uptime_sec"]
STOPSIGNAL SIGUSR1
ENTRYPOINT ["haproxy", "-W", "-f", "/etc/face-assets/haproxy.cfg"]
