#!/usr/bin/env bash
# need.sh redis|node|chromium|PROGRAM … makes sure that what tests, benchmarks and the explorer page need is there; installs what is missing.
set -euo pipefail

has() {
  case $1 in
    redis) command -v redis-server >/dev/null ;;
    # The oldest that Vite runs on.
    node) command -v npm >/dev/null && node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ;;
    chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
    # Debian's nginx is where only administrators look.
    *) PATH=$PATH:/usr/sbin command -v "$1" ;;
  esac >/dev/null 2>&1
}

install() {
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  if command -v apt-get >/dev/null; then
    "${as_root[@]}" apt-get update -qq
    # The tests start their own servers: a package must not leave one running.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq "$@" >/dev/null
  elif command -v dnf >/dev/null; then
    "${as_root[@]}" dnf install -y -q "$@"
  elif command -v brew >/dev/null; then
    brew install --quiet "$@"
  fi
}

packages_of() {
  local manager=other
  command -v apt-get >/dev/null && manager=apt
  case $manager-$1 in
    apt-redis) echo redis-server ;;
    *-node) command -v npm >/dev/null && echo nodejs || echo nodejs npm ;;
    *) echo "$1" ;;
  esac
}

for each in "$@"; do
  has "$each" && continue
  echo "$each is missing; about to install it."
  # shellcheck disable=SC2046
  install $(packages_of "$each") || true  # Ubuntu has Chromium as a snap alone; what is to be done then is said here.
  has "$each" || { echo "Install $each (redis 6; Node.js 20.19 or newer; Chromium or Chrome) and run the command again." >&2; exit 1; }
done
