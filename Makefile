# Two commands do everything, set-up included: `make demo` and `make test`. `make models` remakes the shipped networks.
PYTHON ?= python3
UV_VERSION := 0.13.8
BIN := .venv/bin
VIDEO ?=
RUNS ?= runs

# real frames for the tests that want them, where they are; without them those tests skip and say so
ifneq ($(wildcard ../shared/data),)
export SEG_DATA ?= $(abspath ../shared/data)
endif

.PHONY: setup demo test lint lock clean models stretches mean drive

# --system-certs: like pip, uv then trusts what the machine trusts, a company's own certificate too
setup: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed, this is " + sys.version.split()[0] + "; set PYTHON=python3.x")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	$(BIN)/seg demo --overwrite $(if $(VIDEO),--video "$(VIDEO)")

test: lint
	$(BIN)/python -m pytest

# the networks inside the package: trained where $(RUNS) does not hold the whole run yet, exported, measured, described
models: model-camvid11 model-drive

model-camvid11: RUN := camvid-mean
model-camvid11: LICENCE := Apache-2.0; trained on CamVid, which is published for research use
model-camvid11: mean
model-drive: RUN := drive
model-drive: LICENCE := Apache-2.0; trained on CamVid (published for research use), CARLA (assets CC BY 4.0) and our own scenes
model-drive: drive

# camvid11's stretches, each on from the one before; the last with several seeds, of whose weights the mean is taken
SEEDS := 11 12 13 14
stretches: setup
	$(BIN)/seg train configs/train/camvid-quick.yaml --out $(RUNS)/camvid-quick --resume
	$(BIN)/seg train configs/train/camvid-second.yaml init=$(RUNS)/camvid-quick --out $(RUNS)/camvid-second --resume
	$(BIN)/seg train configs/train/camvid.yaml init=$(RUNS)/camvid-second --out $(RUNS)/camvid --resume

on-%: stretches
	$(BIN)/seg train configs/train/camvid-on.yaml init=$(RUNS)/camvid seed=$* --out $(RUNS)/camvid-on-$* --resume

mean: $(SEEDS:%=on-%)
	$(BIN)/seg average $(SEEDS:%=$(RUNS)/camvid-on-%) --out $(RUNS)/camvid-mean --overwrite

drive: mean
	$(BIN)/seg train configs/train/drive.yaml init=$(RUNS)/camvid-mean --out $(RUNS)/drive --resume

model-%:
	$(BIN)/seg calibrate $(RUNS)/$(RUN) --overwrite
	$(BIN)/seg export $(RUNS)/$(RUN) -o seg/models/$*.onnx --name $* --weights float16 --no-novelty --licence "$(LICENCE)" --overwrite
	$(BIN)/seg eval seg/models/$*.onnx --json $(RUNS)/$(RUN)/figures.json --overwrite
	$(BIN)/seg card seg/models/$*.onnx configs/cards/$*.yaml --figures $(RUNS)/$(RUN)/figures.json --overwrite

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: setup
	$(BIN)/uv pip compile --quiet --system-certs --python $(BIN)/python --universal --generate-hashes --no-header \
		--extra cpu --extra openvino --extra train --extra codes --group dev pyproject.toml -o requirements.lock

clean:
	rm -rf .venv out build dist .mypy_cache .pytest_cache .ruff_cache
