# The trainer, on CPU.
FROM ubuntu:24.04
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
ENV PATH=/opt/venv/bin:${PATH} PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# Ubuntu keeps only the newest build of a package, so a pinned one could not be installed for long.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 neumeta \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --shell /usr/sbin/nologin neumeta \
    && python3 -m venv /opt/venv \
    && pip install --no-cache-dir pip==26.3

# Dependencies: this layer is made again only when these two files change. The project's own files come later,
# so empty ones stand for those that its metadata name.
WORKDIR /opt/neumeta
COPY pyproject.toml constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt --no-deps --index-url "${TORCH_CPU_INDEX}" torch \
    && touch README.md LICENSE \
    && pip install --constraint constraints.txt --only-deps ".[trainer,cpu]"

COPY README.md LICENSE ./
COPY core core
COPY trainer trainer
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt ".[trainer,cpu]" \
    && pip check

ENV NEUMETA_DATA=/data HOME=/tmp
WORKDIR /
USER 10001:10001
ENTRYPOINT ["neumeta"]
CMD ["--help"]
