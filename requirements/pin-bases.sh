#!/usr/bin/env bash
# Writes behind the tag of each base in the Dockerfile the digest that it has now, that of all architectures. `make pin` runs
# it for a release; commit the result. Needs skopeo; its arguments go to `skopeo inspect`.
set -euo pipefail
cd "$(dirname "$0")/.."
for base in $(sed -n 's/^ARG [A-Z]*_BASE=\([^@]*\).*/\1/p' Dockerfile); do
  digest=$(skopeo inspect --no-tags "$@" --format '{{.Digest}}' "docker://$base")
  sed -i "s|^\(ARG [A-Z]*_BASE=$base\)\(@.*\)\?$|\1@$digest|" Dockerfile
  echo "$base is $digest"
done
