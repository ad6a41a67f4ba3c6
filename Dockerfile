# syntax=docker/dockerfile:1
# homefeed for machines that are not Linux x86-64, for which TFDV, tfx-bsl and ML Metadata have no wheels.
#   docker build --platform linux/amd64 --tag homefeed-dev .
#   docker run --rm --interactive --tty --platform linux/amd64 --volume homefeed-var:/homefeed/var homefeed-dev make run

# What the Makefile asks for: Python 3.11 and make. A devcontainer begins here and installs in the opened folder.
FROM --platform=linux/amd64 python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl git make \
    && rm -rf /var/lib/apt/lists/*

# The dependencies are a layer of their own, made anew only when what they follow from has changed.
FROM base AS homefeed
WORKDIR /homefeed
COPY Makefile setup.py constraints.txt pyproject.toml ./
COPY serving/client serving/client
COPY homefeed/__init__.py homefeed/__init__.py
RUN make .venv/.ready
COPY . .
# Copied again, the same files are newer; what they ask for is already there.
RUN make --touch .venv/.ready
EXPOSE 8500 8501
CMD ["make", "help"]
