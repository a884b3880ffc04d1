# vproc: `make run` on a fresh machine installs what is missing, builds and shows a result.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup rust packages library openvino build run test kernels-check nightly install clean

export PATH := $(PATH):$(HOME)/.cargo/bin
export CARGO_TARGET_DIR := $(CURDIR)/target

# Where vproc looks for libonnxruntime.so, after ORT_DYLIB_PATH and its own folder.
DATA := $(or $(filter /%,$(XDG_DATA_HOME)),$(HOME)/.local/share)/vproc
PREFIX ?= $(if $(filter 0,$(shell id -u)),/usr/local,$(HOME)/.local)

INPUT ?= samples/desk.mp4
OUTPUT ?= output/$(basename $(notdir $(INPUT)))_x2.mp4
ARGS ?=

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

setup: rust packages library ## install the system packages and the ONNX Runtime library that are missing

rust:
	@.ci/rust

packages: rust
	@.ci/packages

library: packages
	@.ci/fetch_library.py .ci/wheels/onnxruntime "$(DATA)"

openvino: packages ## fetch the OpenVINO engine as well (x86_64; set ORT_DYLIB_PATH as it says)
	@.ci/fetch_library.py .ci/wheels/openvino "$(DATA)/openvino"
	@echo 'to use it: export ORT_DYLIB_PATH="$(DATA)/openvino/libonnxruntime.so"'

build: packages ## build target/release/vproc
	cargo build --release --locked

run: build ## upscale the sample (or INPUT=clip OUTPUT=file ARGS=options) and say where the result is
	@mkdir -p "$(dir $(OUTPUT))"
	target/release/vproc "$(INPUT)" -o "$(OUTPUT)" -y $(ARGS)
	@echo "the result is $(OUTPUT) ($$(stat -c %s "$(OUTPUT)" | numfmt --to=si)B)"

test: setup ## format, lints, tests, GPU kernels, dependencies; stops at the first failure
	@.ci/rust fmt clippy
	@.ci/test-python
	@.ci/check

nightly: setup ## the tests that take long: a cache that many share and somebody hurts, a minute of each fuzz target, ...
	VPROC_SLOW_TESTS=1 cargo test --release --locked -- --nocapture --test-threads=1

kernels-check: ## compile the GPU kernels for every kind of NVIDIA device; needs no GPU
	@.ci/kernels-check

install: build library ## install under PREFIX (now $(PREFIX)): program, library, man page, completions
	@.ci/install "$(PREFIX)" "$(DATA)"

clean: ## remove what was built and made here; installed packages and libraries stay
	rm -rf target output
