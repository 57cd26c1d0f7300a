# Sourced before a command of the service in docker-compose.yml: writes the address of MongoDB, which contains a secret, to
# the file that FULFILLMENT_MONGO_FILE names. In an address, some characters of a password are encoded.
(
    umask 077
    password=$(python -c 'import sys, urllib.parse as p; print(p.quote(sys.stdin.read().strip(), safe=""))' \
        < "${SECRETS:-/run/secrets}/mongo_password")
    printf 'mongodb://fulfillment:%s@mongo:27017/?authSource=admin\n' "$password" > "$FULFILLMENT_MONGO_FILE"
)
