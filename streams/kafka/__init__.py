"""Everything that touches Kafka: the transport under Faust, the sink, topics, and the broker for
trying out."""
