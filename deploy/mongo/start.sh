#!/bin/sh
# A replica set with authentication needs a key that its members share. This replica set has a single member, so
# the first start generates the key, which never leaves the volume.
set -eu
# compose.secrets.yaml keeps the passwords in this file, and not in the environment of the container.
if [ -f /run/secrets/mongo.env ]; then
    set -a
    . /run/secrets/mongo.env
    set +a
fi
key=/data/db/replica.key
if [ ! -s "$key" ]; then
    umask 077
    head -c 512 /dev/urandom | base64 -w 0 > "$key.new"
    mv "$key.new" "$key"
fi
exec docker-entrypoint.sh mongod --replSet rs0 --keyFile "$key" --bind_ip_all
