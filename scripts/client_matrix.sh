#!/usr/bin/env bash
# client_matrix.sh PYTHON … builds the Python client and tests it under each Python that is there, in environments that are removed afterwards.
set -euo pipefail
cd "$(dirname "$0")/../clients/python"

environments=$(mktemp -d)
trap 'rm -rf "$environments"' EXIT
tested=0
for python in "$@"; do
  command -v "$python" >/dev/null || { echo "$python is not here and is left out."; continue; }
  "$python" --version
  environment=$environments/$((++tested))
  "$python" -m venv "$environment"
  "$environment/bin/pip" --disable-pip-version-check install --quiet '.[cli,run,verify,plot]' pytest onnx 'tomli; python_version < "3.11"'
  "$environment/bin/python" -m pytest -q -p no:cacheprovider tests
done
[ "$tested" -gt 0 ] || { echo "None of these is here; give others as: make client-matrix PYTHONS='/path/to/python3 …'" >&2; exit 1; }
