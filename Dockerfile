# `make demo` and `make test` in an image.
#
#   docker build --tag sideways .                                     CPUs, the card's stack
#   docker build --tag sideways --build-arg PYTHON=3.13 .             the current stack
#   docker build --tag sideways --build-arg EXTRAS=gpu .              GPUs: run with --gpus=all
#   docker run --rm sideways                                          make demo
#   docker run --rm sideways test                                     make test
#
# To keep runs and to read video: --volume="$PWD/runs:/sideways/runs" --volume=VIDEO:/video
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm
ARG EXTRAS=

# Debian's own versions, whichever they are now: OpenCV, bsdtar and make have no interface to break.
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install --yes --no-install-recommends git libarchive-tools libgl1 libglib2.0-0 make \
  && rm -rf /var/lib/apt/lists/*

WORKDIR /sideways
ENV PIP_NO_CACHE_DIR=1
# The lock alone first: a change of the sources does not install TensorFlow anew.
COPY requirements.txt requirements-current.txt ./
COPY tools/setup_venv.sh tools/
RUN tools/setup_venv.sh
COPY . .
RUN .venv/bin/python -m pip install --editable ".${EXTRAS:+[$EXTRAS]}"

ENV PATH="/sideways/.venv/bin:${PATH}"
ENTRYPOINT ["make"]
CMD ["demo"]
