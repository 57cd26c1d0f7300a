# Starts Kafdrop with the password of Kafka, which is a secret.
set -eu
umask 077
password=$(cat /run/secrets/kafka_password)
login="org.apache.kafka.common.security.plain.PlainLoginModule required username=\"fulfillment\" password=\"$password\""
printf 'security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=%s;\n' "$login" > /tmp/kafka.properties
exec /kafdrop.sh
