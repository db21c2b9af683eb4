# The service. VARIANT=cpu (default) or gpu chooses the base image, the build of PyTorch and of onnxruntime.
ARG VARIANT=cpu

# The page that the service serves at `/`. Vite writes it to where the service's package has it.
FROM node:22.20-slim AS explorer
WORKDIR /src/clients/web
COPY clients/web/package.json clients/web/package-lock.json clients/web/.npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci
COPY clients/web/index.html clients/web/vite.config.ts clients/web/tsconfig.json ./
COPY clients/web/src src
RUN npm run explorer

FROM ubuntu:24.04 AS base-cpu

# The CUDA version that the PyTorch of constraints.txt is built for.
FROM nvidia/cuda:13.0.2-base-ubuntu24.04 AS base-gpu

# hadolint ignore=DL3006
FROM base-${VARIANT}
ARG VARIANT
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
ENV PATH=/opt/venv/bin:${PATH} PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# Ubuntu keeps only the newest build of a package, so a pinned one could not be installed for long.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 neumeta \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --shell /usr/sbin/nologin neumeta \
    && install --directory --owner=10001 --group=10001 /profiles \
    && python3 -m venv /opt/venv \
    && pip install --no-cache-dir pip==26.3

# Dependencies: this layer is made again only when these two files change. The project's own files come later,
# so empty ones stand for those that its metadata name.
WORKDIR /opt/neumeta
COPY pyproject.toml constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    if [ "${VARIANT}" = cpu ]; then set -- --index-url "${TORCH_CPU_INDEX}"; fi \
    && pip install --constraint constraints.txt --no-deps "$@" torch \
    && touch README.md LICENSE \
    && pip install --constraint constraints.txt --only-deps ".[service,jwt,otel,${VARIANT}]"

COPY README.md LICENSE ./
COPY core core
COPY service service
COPY --from=explorer /src/service/neumeta_service/explorer service/neumeta_service/explorer
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt ".[service,jwt,otel,${VARIANT}]" \
    && pip check

# no_proxy: the health check must not ask a proxy for this container.
ENV NEUMETA_HOST=0.0.0.0 NEUMETA_PORT=8080 NEUMETA_MODELS=/models HOME=/tmp no_proxy=127.0.0.1
WORKDIR /
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"NEUMETA_PORT\"]}/livez', timeout=4)"]
# To process 1 the kernel gives no signal that it does not handle yet: one that comes while models are loaded would be lost.
ENTRYPOINT ["tini", "--"]
CMD ["neumeta-service"]
