# Everything a person or CI does here. Each target makes its own environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Where it is set, each process of each farm compiles all of tfarm anew: a third of what a start takes.
unexport PYTHONDONTWRITEBYTECODE
COMPILE := pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.PHONY: run demo test test-gpu lint format bench browsers http-clients faults attacks cluster systemd image-check manifests monitoring \
	fuzz sbom advisories docs site screenshots requirements clean

# What is read line by line by linters: the packages and the scripts of people and CI.
PACKAGES := tfarm common ingest egress supervisor worker api hooks cluster scripts
SHELL_SCRIPTS := .ci/run scripts/get-etcd.sh

run: $(VENV)/.runtime
	@exec $(BIN)/tfarm supervisor $(ARGS)

demo: $(VENV)/.runtime
	@exec $(BIN)/tfarm demo $(ARGS)

# All of it by three processes, a file's tests in one of them: those with real farms mostly wait.
# Tests of clusters are for `make cluster`.
TEST_PROCESSES ?= 3
test: $(VENV)/.dev
	$(BIN)/python -m pytest $(or $(ARGS),-m "not cluster" -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder)

# Needs an NVIDIA GPU; docs/gpu-internals.md says what ran where.
test-gpu: $(VENV)/.dev
	$(BIN)/python -m pytest -m gpu $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(PACKAGES)
	$(BIN)/shellcheck $(SHELL_SCRIPTS)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The peers that the benches run beside tfarm: apt-get install ffmpeg nginx libnginx-mod-rtmp
bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench $(ARGS)

# Delays in a real browser, by each way: make browsers ARGS="flv hls --seconds 600". Needs chromium,
# and npm for the players that are not ours.
browsers: $(VENV)/.dev
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory build/players/.made; fi
	$(BIN)/python -m tests.browsers $(ARGS)

# Every client of HTTP that this machine has plays every address: FFmpeg, a current FFmpeg of PyPI
# (GPL, for tests alone), GStreamer, and the players that pages use, in chromium.
http-clients: $(VENV)/.dev build/clients/.made
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory build/players/.made; fi
	$(BIN)/python -m tests.http_clients $(ARGS)

# Kills, stops and misleads running farms: make faults ARGS="--only kill_worker", ARGS=--write,
# ARGS=--cluster for three hosts with a network between them, as root
faults: $(VENV)/.dev
	$(BIN)/python -m tests.faults $(ARGS)

# Three hosts with three members of etcd, which are killed, stopped and wiped: scripts/get-etcd.sh
cluster: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m cluster
	$(BIN)/python -m tests.hosts $(ARGS)

# Attacks running farms from other addresses of the loopback: make attacks ARGS="--only nulls_1"
attacks: $(VENV)/.dev
	$(BIN)/python -m tests.attacks $(ARGS)

# deploy/tfarm.service under a systemd of its own, as root: apt-get install debootstrap systemd-container
systemd: $(VENV)/.dev
	$(BIN)/python -m tests.systemd $(ARGS)

# deploy/Containerfile's steps in clean roots, and its command as Kubernetes runs it, as root:
# apt-get install debootstrap ffmpeg
image-check: $(VENV)/.dev
	$(BIN)/python -m tests.image $(ARGS)

# What of deploy/ is for container engines, by validators of its formats.
manifests: build/manifests/.made
	build/manifests/bin/hadolint deploy/Containerfile
	build/manifests/bin/kubernetes-validate --strict --quiet deploy/kubernetes.yaml deploy/kubernetes-cluster.yaml
	build/manifests/bin/python -c "import sys, compose_spec; \
		compose_spec.PyCompose.from_yaml(sys.stdin.read())" < deploy/compose.yaml

# Alerts and dashboard of deploy/ under a real Prometheus: apt-get install prometheus
monitoring: $(VENV)/.dev
	$(BIN)/python -m tests.monitoring $(ARGS)

# Each target of tests/fuzz for 20 s: make fuzz ARGS="sps --seconds 600", ARGS="all --minimise"
fuzz: $(VENV)/.fuzz
	$(BIN)/python tests/fuzz/run.py $(or $(ARGS),all)

# What tfarm installs, with licences and hashes, as CycloneDX: make sbom > tfarm.cdx.json
sbom: $(VENV)/.dev
	@$(BIN)/python scripts/sbom.py $(ARGS)

# Known vulnerabilities of what is pinned; asks the index and OSV, so it needs a network.
advisories:
	@test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv --clear build/audit && \
		build/audit/bin/pip install --quiet pip-audit; }
	@for name in runtime webrtc s3 gpu12 gpu13; do \
		build/audit/bin/pip-audit --require-hashes --disable-pip -r requirements/$$name.txt || exit 1; \
	done

# The tables that documents take from the code: keys, commands, metrics, notices, room.
docs: $(VENV)/.dev
	$(BIN)/python scripts/write_docs.py

# All documents as a site, in build/site/html. A link or an anchor that leads nowhere is a failure.
site: $(VENV)/.docs
	@$(BIN)/python scripts/build_site.py

# docs/images anew, of a farm with some streams: apt-get install chromium ffmpeg xterm xvfb imagemagick
screenshots: $(VENV)/.dev
	$(BIN)/python -m tests.screenshots $(ARGS)

# Players that tests compare ours with, by npm: apt-get install npm
build/players/.made: tests/browsers/vendored.json
	@$(PYTHON) scripts/vendor_player.py tests/browsers --into build/players
	@touch $@

build/clients/.made: requirements/clients.txt | $(VENV)/.made
	@$(PIP) install --quiet --require-hashes --only-binary :all: --no-deps --target build/clients \
		--upgrade -r requirements/clients.txt
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "tfarm needs Python 3.11 or later: make PYTHON=python3.11 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { echo "Python's venv is missing: apt-get install python3-venv" >&2; exit 1; }
	@# one that an interrupted run left half made has a python, and no pip
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@touch $@

# With an NVIDIA driver, the GPU packages for its CUDA too. TFARM_GPU_EXTRA=none leaves them out.
$(VENV)/.runtime: requirements/runtime.txt requirements/gpu12.txt requirements/gpu13.txt \
		requirements/webrtc.txt requirements/s3.txt pyproject.toml | $(VENV)/.made
	@echo "Installing into $(VENV): half a minute, once."
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/runtime.txt
	@extra=$$($(PYTHON) scripts/gpu_extra.py) || exit 1; test -z "$$extra" || \
		$(PIP) install --quiet --require-hashes --only-binary :all: \
			-r requirements/$$extra.txt
	@# The page's first way. Where it cannot be installed, the farm and the page do without.
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/webrtc.txt \
		|| echo "Viewers by WebRTC are left out: see pip's words above" >&2
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/s3.txt \
		|| echo "Uploads of recordings are left out: see pip's words above" >&2
	@$(PIP) install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/webrtc.txt requirements/s3.txt | $(VENV)/.runtime
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/webrtc.txt
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/s3.txt
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/dev.txt
	@touch $@

$(VENV)/.docs: requirements/docs.txt | $(VENV)/.made
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/docs.txt || { \
		echo "make site needs the packages of requirements/docs.txt: see pip's words above" >&2; \
		exit 1; }
	@touch $@

$(VENV)/.fuzz: requirements/fuzz.txt | $(VENV)/.dev
	$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/fuzz.txt
	touch $@

build/manifests/.made: requirements/manifests.txt
	@$(PYTHON) -m venv --clear build/manifests
	@build/manifests/bin/pip install --quiet --require-hashes --only-binary :all: -r $<
	@touch $@

# Pins anew what requirements/*.txt hold, with the hashes of every wheel, so any Python fits.
requirements:
	$(PYTHON) -m venv build/pins
	build/pins/bin/pip install --quiet pip-tools
	for name in runtime webrtc s3 dev docs fuzz manifests clients gpu12 gpu13; do \
		case $$name in \
			runtime) sources="pyproject.toml requirements/build.in" ;; \
			dev|docs|fuzz|manifests|clients) sources="requirements/$$name.in" ;; \
			gpu*|webrtc|s3) sources="--extra $$name --constraint requirements/runtime.txt pyproject.toml" ;; \
		esac; \
		CUSTOM_COMPILE_COMMAND="make requirements" build/pins/bin/$(COMPILE) --upgrade \
			--output-file requirements/$$name.txt $$sources || exit 1; \
	done

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
