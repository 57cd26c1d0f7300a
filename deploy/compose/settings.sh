# Sourced before a command of the service in docker-compose.yml: writes the address of MongoDB, which contains a secret, to
# the file that FULFILLMENT_MONGO_FILE names. In an address, some characters of a password are encoded.
(
    umask 077
    password=$(python -c 'import sys, urllib.parse as p; print(p.quote(sys.stdin.read().strip(), safe=""))' \
        < "${SECRETS:-/run/secrets}/mongo_password")
    printf 'mongodb://fulfillment:%s@mongo:27017/?authSource=admin\n' "$password" > "$FULFILLMENT_MONGO_FILE"
)
# A container that is created again gets the volume of the one before, and another hostname: tables under the old one are
# of no use any more.
if [ -n "${HOSTNAME:-}" ] && [ -d "${FULFILLMENT_DATA:-}/state" ]; then
    find "$FULFILLMENT_DATA/state" -mindepth 2 -maxdepth 2 ! -name "$HOSTNAME" -exec rm -rf {} +
fi
