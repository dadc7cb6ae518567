#!/usr/bin/env bash
# Makes the base image of our Dockerfiles with debootstrap, under the name that their FROM uses, where no registry can be reached.
# usage: deploy/base-image.sh [NAME]   (as root; does nothing where the image is there)
set -euo pipefail
name="${1:-debian:bookworm-slim}"
suite=bookworm
mirror="${DEBIAN_MIRROR:-http://deb.debian.org/debian}"

if docker image inspect "$name" >/dev/null 2>&1; then
    echo "$name is there."
    exit 0
fi
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
if ! debootstrap --variant=minbase "$suite" "$root/image" "$mirror" >"$root/log" 2>&1; then
    tail -5 "$root/log" >&2
    exit 1
fi
cat >"$root/image/etc/apt/sources.list" <<LIST
deb $mirror $suite main
deb $mirror $suite-updates main
deb ${mirror/%debian/debian-security} $suite-security main
LIST
# as Debian's own slim image: no documentation and no messages in other languages, now and in what is installed later
cat >"$root/image/etc/dpkg/dpkg.cfg.d/slim" <<'RULES'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/info/*
RULES
rm -rf "$root"/image/var/cache/apt/* "$root"/image/var/lib/apt/lists/* "$root"/image/var/log/* \
    "$root"/image/usr/share/{man,info,locale}/* "$root"/image/etc/{resolv.conf,hostname}
find "$root/image/usr/share/doc" -type f ! -name copyright -delete
tar -C "$root/image" --numeric-owner -c . | docker import --change 'CMD ["bash"]' - "$name" >/dev/null
docker image inspect --format "{{.Size}}" "$name" | awk -v name="$name" '{printf "%s was made, %.1f MB.\n", name, $1 / 1e6}'
