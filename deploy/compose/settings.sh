# Sourced before a command of the service in docker-compose.yml: settings that contain a secret and cannot name a file.
secrets=${SECRETS:-/run/secrets}
FULFILLMENT_API_TOKEN=$(cat "$secrets/api_token")
FULFILLMENT_MONGO="mongodb://fulfillment:$(cat "$secrets/mongo_password")@mongo:27017/?authSource=admin"
export FULFILLMENT_API_TOKEN FULFILLMENT_MONGO
