#!/usr/bin/env bash
# Makes sure that a redis-server binary is there: the tests start servers of their own on free ports.
set -euo pipefail
command -v redis-server >/dev/null && exit 0
echo "redis-server is missing; about to install it (2 MB)."
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
if command -v apt-get >/dev/null; then
  "${as_root[@]}" apt-get update -qq
  # The tests start their own servers: the package must not leave one running.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq redis-server >/dev/null
elif command -v dnf >/dev/null; then
  "${as_root[@]}" dnf install -y -q redis
elif command -v brew >/dev/null; then
  brew install --quiet redis
else
  echo "No package manager known here. Install redis-server 6 or newer and run the command again." >&2
  exit 1
fi
