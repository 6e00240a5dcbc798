"""The brokers that the tests run on: one interface, four kinds, chosen by `STREAMS_TEST_BROKER`.

java.py      Apache Kafka from its jars       docker.py    Apache Kafka's image
embedded.py  the broker for trying out        external.py  one that runs already
choose.py    which of them, and why           features.py  what a test may ask for
"""
