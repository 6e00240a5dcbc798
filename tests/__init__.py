"""The tests; `tests.brokers` starts the brokers that they run on."""
