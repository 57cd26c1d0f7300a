# Sourced before a command of the service in docker-compose.yml: sets the address of MongoDB, which contains a secret.
secrets=${SECRETS:-/run/secrets}
FULFILLMENT_MONGO="mongodb://fulfillment:$(cat "$secrets/mongo_password")@mongo:27017/?authSource=admin"
export FULFILLMENT_MONGO
