"""Run real Apache Kafka brokers (KRaft) from Maven Central, as many as a test needs."""
