#!/bin/sh
# A replica set whose users have to sign in needs a key between its members. There is one member, so
# the key is made here, once, and is known to nobody else.
set -eu
key=/data/db/replica.key
if [ ! -s "$key" ]; then
    umask 077
    head -c 512 /dev/urandom | base64 -w 0 > "$key.new"
    mv "$key.new" "$key"
fi
exec docker-entrypoint.sh mongod --replSet rs0 --keyFile "$key" --bind_ip_all
