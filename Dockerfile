# syntax=docker/dockerfile:1
#
#   docker build --target api -t forgetcast-api .           the API and its command line, without torch
#   docker build --target worker -t forgetcast-worker .     fine-tuning and measuring
#
# The worker takes torch from the default package index: on Linux x86-64 that is the build with CUDA, several GB.
# --build-arg TORCH_INDEX_URL=... looks on one more index, for example that of PyTorch's smaller builds without CUDA.

# Packages are taken only when they have the sha256 of service/requirements.txt and workers/requirements.txt. Torch of
# another index has other ones, so with TORCH_INDEX_URL the worker's packages are held by their versions alone.

FROM python:3.12-slim AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_CONSTRAINT=/build/constraints.txt \
    PIP_BUILD_CONSTRAINT=/build/constraints.txt
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./

FROM packages AS api-packages
COPY service/requirements.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --require-hashes -r requirements.txt
COPY forgetcast forgetcast
RUN pip install --no-deps .

FROM packages AS worker-packages
ARG TORCH_INDEX_URL=""
COPY workers/requirements.txt ./
# An empty package stands for ours, so that a change of code alone installs no dependency again.
RUN mkdir forgetcast && touch forgetcast/__init__.py
RUN --mount=type=cache,target=/root/.cache/pip \
    if [ -z "$TORCH_INDEX_URL" ]; then \
        pip install --require-hashes -r requirements.txt; \
    else \
        pip install --extra-index-url "$TORCH_INDEX_URL" "$(grep '^torch==' constraints.txt)" \
        && pip install '.[workers,bundled]'; \
    fi
COPY forgetcast forgetcast
RUN pip install --no-deps --force-reinstall .

# What both images share. The wheel holds forgetcast alone; the folders that are run lie beside it in /app.
FROM python:3.12-slim AS runtime
RUN useradd --uid 10001 --create-home forgetcast \
    && install -d -o forgetcast -g forgetcast /var/lib/forgetcast /var/cache/forgetcast /var/lib/forgetcast-key
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FORGETCAST_HOME=/var/lib/forgetcast \
    FORGETCAST_CACHE_DIR=/var/cache/forgetcast
WORKDIR /app
COPY pyproject.toml ./
COPY migrations migrations
COPY service service
USER forgetcast
STOPSIGNAL SIGTERM
ENTRYPOINT ["forgetcast"]

FROM runtime AS api
COPY --from=api-packages /opt/venv /opt/venv
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]

# No HEALTHCHECK: a worker listens on nothing; its heartbeat is in the database, and a silent one loses its job.
FROM runtime AS worker
COPY --from=worker-packages /opt/venv /opt/venv
COPY workers workers
# The bundled model is made, and the bundled matrix registered, by a container of this image (docker-compose.yml).
COPY bundled bundled
ENV HF_HOME=/var/cache/forgetcast/huggingface
CMD ["worker"]
