# One image for every role: `docker run … fulfillment worker ROLE`. Without the local stack (Kafka, MongoDB, Java).
FROM python:3.13-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /venv
COPY deploy/requirements.lock deploy/
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r deploy/requirements.lock
COPY . .
RUN /venv/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home fulfillment && \
    install --directory --owner fulfillment /var/lib/fulfillment
COPY --from=build /venv /venv
# The container has its own ports, so every role's web server uses the same one.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FULFILLMENT_DATA=/var/lib/fulfillment \
    FULFILLMENT_HTTP_PORT=8000 \
    FULFILLMENT_WORKER_PORT=8000
# The tables of orders and inventory. They need no backup, because Kafka has them, too.
VOLUME /var/lib/fulfillment
USER fulfillment
WORKDIR /tmp
EXPOSE 8000
# Over loopback inside the container, so that it works even if the role listens on no other interface.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['FULFILLMENT_WORKER_PORT'] + '/readyz', timeout=4)"]
ENTRYPOINT ["fulfillment"]
CMD ["--help"]
