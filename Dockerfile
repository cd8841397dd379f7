# One image for every process. compose.yaml chooses the process that a container runs.
FROM python:3.13-slim AS base
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONFAULTHANDLER=1

FROM base AS build
RUN python -m venv --without-pip /venv
WORKDIR /app
# The packages are a layer of their own, so that a change of code doesn't reinstall them.
COPY requirements/runtime.txt /tmp/requirements.txt
RUN pip --python /venv/bin/python --disable-pip-version-check install \
        --no-cache-dir --no-compile --require-hashes --only-binary :all: -r /tmp/requirements.txt
COPY contracts/ contracts/
COPY kit/ kit/
COPY services/ services/
COPY streams/ streams/
COPY ops/ ops/
COPY web/ web/
COPY static/ static/
# The developers' pages show these.
COPY docs/asyncapi.yaml docs/openapi.yaml docs/
COPY docs/quick-starts/ docs/quick-starts/
COPY settings.py ./
# unchecked-hash: Python doesn't compare the bytecode with its source, because the image never changes.
RUN /venv/bin/python -m compileall -q -f -j 0 --invalidation-mode unchecked-hash /venv/lib /app

FROM base
# The user has no home. Without HOME, the stripe package fails where the engine doesn't set it.
ENV PATH=/venv/bin:$PATH \
    HOME=/nonexistent \
    PYTHONPATH=/app \
    HOST=0.0.0.0 \
    DATA_DIR=/data \
    GRANIAN_HOST=0.0.0.0 \
    GRANIAN_INTERFACE=asgi \
    GRANIAN_FACTORY=true \
    GRANIAN_WORKERS=1 \
    GRANIAN_LOOP=uvloop \
    GRANIAN_WEBSOCKETS=false \
    GRANIAN_HTTP=1 \
    GRANIAN_HTTP1_BUFFER_SIZE=65536 \
    GRANIAN_HTTP1_HEADER_READ_TIMEOUT=20000 \
    GRANIAN_BACKLOG=2048 \
    GRANIAN_BACKPRESSURE=8000
# A new volume inherits the owner of this folder.
RUN install -d -m 0700 -o 10001 -g 10001 /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
