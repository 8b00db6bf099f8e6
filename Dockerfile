# Both stages must have their Python at the same path, or the virtual environment does not survive the copy. Pin this by
# digest for a release.
ARG BASE=docker.io/library/python:3.13-slim

FROM ${BASE} AS build
# Both are pip's own variables: an offline build points them at a directory of wheels.
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ONLY_BINARY=:all:
WORKDIR /src
# No pip inside: whoever gets into the running container should not find an installer there.
RUN python3 -m venv --without-pip /opt/app
COPY requirements/server.lock requirements/build.lock requirements/
RUN python3 -m pip --python /opt/app/bin/python install --no-deps --require-hashes -r requirements/server.lock
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --no-deps --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY receiver receiver
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && python3 -m pip --python /opt/app/bin/python install --no-deps --no-index dist/*.whl

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="logout-receiver" \
      org.opencontainers.image.description="Takes in OIDC back-channel logout tokens and publishes eviction events" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=build /opt/app /opt/app
# The root file system may be read-only, so nothing is compiled or buffered at run time.
ENV PATH=/opt/app/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# By number: Kubernetes cannot tell that a named user is not root.
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/opt/app/bin/receiver", "healthcheck"]
ENTRYPOINT ["/opt/app/bin/receiver"]
CMD ["serve"]
