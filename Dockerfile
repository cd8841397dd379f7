# One image for every process; compose.yaml says which one a container runs.
FROM python:3.13-slim AS base
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONFAULTHANDLER=1

FROM base AS build
RUN python -m venv --without-pip /venv
WORKDIR /app
# By itself, so that a change of code doesn't install everything again.
COPY requirements.txt /tmp/requirements.txt
RUN pip --python /venv/bin/python --disable-pip-version-check install \
        --no-cache-dir --no-compile --require-hashes --only-binary :all: -r /tmp/requirements.txt
COPY contracts/ contracts/
COPY services/ services/
COPY streams/ streams/
COPY web/ web/
COPY static/ static/
COPY settings.py ./
# Bytecode that isn't compared with its source: nothing in the image changes, and nothing can be written.
RUN /venv/bin/python -m compileall -q -f -j 0 --invalidation-mode unchecked-hash /venv/lib /app

FROM base
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app \
    HOST=0.0.0.0 \
    DATA_DIR=/data
# A new volume takes over the owner of the folder it covers.
RUN install -d -m 0700 -o 10001 -g 10001 /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
