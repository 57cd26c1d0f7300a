# Starts the broker of docker-compose.yml with its only user, whose password is a secret. Every listener that other
# containers or this machine can reach requires it; the controller listens inside the container only.
set -eu
umask 077
password=$(cat "${SECRETS:-/run/secrets}/kafka_password")
login="org.apache.kafka.common.security.plain.PlainLoginModule required username=\"fulfillment\" password=\"$password\""
printf 'security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=%s;\n' "$login" > /tmp/client.properties
export KAFKA_LISTENER_NAME_INTERNAL_PLAIN_SASL_JAAS_CONFIG="$login user_fulfillment=\"$password\";"
export KAFKA_LISTENER_NAME_HOST_PLAIN_SASL_JAAS_CONFIG="$KAFKA_LISTENER_NAME_INTERNAL_PLAIN_SASL_JAAS_CONFIG"
exec "${@:-/etc/kafka/docker/run}"
