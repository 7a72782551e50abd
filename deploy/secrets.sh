#!/usr/bin/env bash
# Make the secrets of deploy/compose.yaml once; nothing that exists is overwritten.
set -euo pipefail
cd "$(dirname "$0")"
[ "$(id -u)" = 0 ] || { echo "run this as root: the files must belong to the users inside the containers" >&2; exit 2; }
umask 077
mkdir -p secrets
secret() { [ -s "secrets/$1" ] || python3 -c 'import secrets; print(secrets.token_urlsafe(32), end="")' >"secrets/$1"; }
secret broker_password
secret influx_password
secret influx_token
secret postgres_password
[ -s secrets/ledger_url ] ||
  printf 'postgresql+psycopg://ljusvakt:%s@postgres:5432/ljusvakt' "$(cat secrets/postgres_password)" >secrets/ledger_url
[ -s secrets/mosquitto-passwords ] || {
  command -v mosquitto_passwd >/dev/null || { echo "mosquitto_passwd is missing: install mosquitto (Debian: apt-get install mosquitto)" >&2; exit 2; }
  touch secrets/mosquitto-passwords
  mosquitto_passwd -b secrets/mosquitto-passwords collector-0 "$(cat secrets/broker_password)"
}
# Compose mounts these files as they are: owner and mode here are owner and mode in the container.
chown 10001:10001 secrets/broker_password secrets/influx_token secrets/ledger_url
chown 1883:1883 secrets/mosquitto-passwords
echo "deploy/secrets is ready; a device gets its own user with: mosquitto_passwd deploy/secrets/mosquitto-passwords DEVICE_ID"
