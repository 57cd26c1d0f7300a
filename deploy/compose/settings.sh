# Sourced before a command of the service in docker-compose.yml: the setting that contains a secret and cannot name a file.
secrets=${SECRETS:-/run/secrets}
FULFILLMENT_MONGO="mongodb://fulfillment:$(cat "$secrets/mongo_password")@mongo:27017/?authSource=admin"
export FULFILLMENT_MONGO
