"""A real Apache Kafka (KRaft) from Maven Central, as many brokers as a test wants."""
