# The runtime base has Python and the C library, and no shell, package manager or pip. Both bases are the same release of
# Debian, so that the virtual environment finds its interpreter at the same path, in the same version. A release builds
# with digests behind these tags: `make pin`.
ARG BUILD_BASE=docker.io/library/debian:13-slim
ARG RUNTIME_BASE=gcr.io/distroless/python3-debian13:nonroot

FROM ${BUILD_BASE} AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils python3-venv \
    && rm -rf /var/lib/apt/lists/*
# Both are pip's own variables: an offline build points them at a directory of wheels.
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ONLY_BINARY=:all:
WORKDIR /src
COPY requirements/server.lock requirements/build.lock requirements/
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-deps --require-hashes -r requirements/build.lock
# Bytecode is compiled as the runtime stage runs it.
RUN python3 -m venv --without-pip /opt/app \
    && PYTHONOPTIMIZE=2 /opt/build/bin/pip --python /opt/app/bin/python install --no-deps --require-hashes -r requirements/server.lock
COPY pyproject.toml README.md LICENSE ./
COPY receiver receiver
# The bill of materials of all Python packages; that of the base is Debian's package database, which is in it.
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && PYTHONOPTIMIZE=2 /opt/build/bin/pip --python /opt/app/bin/python install --no-deps --no-index dist/*.whl \
    && /opt/build/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
        --output-file /opt/app/sbom.cdx.json /opt/app/bin/python
# A third of all bytes are debug symbols.
RUN find /opt/app -name '*.so' -exec strip --strip-unneeded {} + \
    && rm -r /opt/app/include

# hadolint ignore=DL3006
FROM ${RUNTIME_BASE}
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
# The root file system may be read-only, so nothing is compiled or buffered at run time. Without docstrings a receiver takes
# 3 MiB less memory; without the compiled lists of frozenlist, which no request waits for, it needs no C++ library, 1 MiB.
ENV PATH=/opt/app/bin:/usr/bin \
    FROZENLIST_NO_EXTENSIONS=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONOPTIMIZE=2 \
    PYTHONUNBUFFERED=1
# By number: Kubernetes cannot tell that a named user is not root.
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/opt/app/bin/receiver", "healthcheck"]
ENTRYPOINT ["/opt/app/bin/receiver"]
CMD ["serve"]
