#!/bin/sh
# Writes the secrets of .env into files for compose.secrets.yaml, in the folder secrets/. Each container gets only its
# own file, and no secret is in the environment of a container, which everybody who may use Docker can read. Run it
# again, and `docker compose up -d --force-recreate`, after a change of .env or deploy/nats/users.conf.
set -eu

# The folder protects the files: users of the containers have to be able to read them.
mkdir -p secrets
chmod 700 secrets
umask 022

value() { sed -n "s/^$1=//p" .env | tail -n 1; }

# A value of several lines would be cut.
if grep -qE '^[A-Z_]+="[^"]*$' .env; then
    echo "Write each value of .env in one line, a PEM file with \\n" >&2
    exit 1
fi

passwords() {
    server=$1
    shift
    for user; do
        echo "${server}_$(echo "$user" | tr '[:lower:]' '[:upper:]')_PASSWORD"
    done
}

services='auth tickets orders payments expiration mail payouts'
databases='auth tickets orders payments mail payouts'
nats_users="provision $services web developer"
mongo_users="root $databases audit migrate console"

# shellcheck disable=SC2086  # lists of words
for name in INTERNAL_SECRET STRIPE_KEY STRIPE_WEBHOOK_SECRET STRIPE_PAYOUTS_WEBHOOK_SECRET OPERATOR_TOKEN MAIL_TOKEN \
    TICKET_FILE_KEY SMTP_URL \
    $(passwords NATS $nats_users) $(passwords MONGO $mongo_users); do
    if [ -z "$(value "$name")" ]; then
        echo "$name: set it in .env" >&2
        exit 1
    fi
done

nodes=nats:4222
if [ -n "${CLUSTER:-}" ]; then
    nodes='nats:4222 nats-2:4222 nats-3:4222'
fi

nats_url() {
    password=$(value "$(passwords NATS "$1")")
    list=
    for node in $nodes; do
        list="$list,nats://$1:$password@$node"
    done
    echo "NATS_URL=${list#,}"
}

mongo_url() {
    echo "MONGO_URL=mongodb://$1:$(value "$(passwords MONGO "$1")")@mongo:27017/$2"
}

variables() {
    for name; do
        echo "$name=$(value "$name")"
    done
}

internal() {
    variables INTERNAL_SECRET PREVIOUS_INTERNAL_SECRET
}

operators() {
    variables OPERATOR_TOKEN PREVIOUS_OPERATOR_TOKEN
}

write() {
    cat > "secrets/$1.new"
    mv "secrets/$1.new" "secrets/$1"
}

{ internal; nats_url provision; } | write provision.env
{ internal; mongo_url migrate '?replicaSet=rs0&authSource=admin'; } | write migrate.env
{ internal; nats_url web; } | write web.env
for service in $services; do
    {
        internal
        nats_url "$service"
        case " $databases " in
            *" $service "*) mongo_url "$service" "$service?replicaSet=rs0" ;;
        esac
        case $service in
            auth) variables SESSION_PRIVATE_KEY MAIL_TOKEN; operators ;;
            tickets | orders) variables TICKET_FILE_KEY PREVIOUS_TICKET_FILE_KEY; operators ;;
            mail) variables SMTP_URL MAIL_TOKEN ;;
            payouts)
                variables STRIPE_KEY STRIPE_PAYOUTS_WEBHOOK_SECRET PREVIOUS_STRIPE_PAYOUTS_WEBHOOK_SECRET
                operators
                ;;
            payments) variables STRIPE_KEY STRIPE_WEBHOOK_SECRET PREVIOUS_STRIPE_WEBHOOK_SECRET; operators ;;
        esac
    } | write "$service.env"
done
{
    internal
    nats_url provision
    mongo_url console '?replicaSet=rs0&authSource=admin'
    variables STRIPE_KEY STRIPE_WEBHOOK_SECRET OPERATOR_TOKEN
} | write console.env

{
    echo "MONGO_INITDB_ROOT_PASSWORD=$(value MONGO_ROOT_PASSWORD)"
    # shellcheck disable=SC2046,SC2086
    variables $(passwords MONGO ${mongo_users#root })
} | write mongo.env

# NATS reads the passwords from the same file as the users, because an included file can't see variables.
{
    # shellcheck disable=SC2086
    for name in $(passwords NATS $nats_users); do
        echo "$name: \"$(value "$name")\""
    done
    cat deploy/nats/users.conf
} | write users.conf
