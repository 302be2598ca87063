#!/bin/sh
# Makes what docker-compose.yml reads from this folder, and leaves alone what is there: random passwords, and
# templates for what only you can know. `sh secrets/make.sh`, with AWS_REGION set or not.
set -eu
cd "$(dirname "$0")"
# Containers read these files under numbers of their own, so that everybody may read them; the folder keeps others out.
chmod 700 .
umask 022

# make NAME writes what it reads, unless the file is there.
make() {
  if [ -e "$1" ]; then
    cat >/dev/null
    return
  fi
  cat >"$1.new"
  mv "$1.new" "$1"
  echo "made secrets/$1${2:+: $2}"
}

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

random | make postgres-password
random | make database-password
random | make grafana-password
random | make webhook-secret "give it to GitHub's webhook"
printf '[default]\nregion = %s\n' "${AWS_REGION:-us-east-1}" |
  make aws-config "the region of your environments, and keys or a role where the machine has none of its own"
printf '' | make github-token "put a token in, and GITHUB_TOKEN_FILE=/run/secrets/github-token into .env; docs/github.md says which"
