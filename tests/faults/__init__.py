"""What goes wrong between a worker and Apache Kafka: nodes, the network, topics that refuse.

proxy.py         a TCP proxy that delays, cuts and resets
test_proxy.py    that it does
test_network.py  workers behind it
test_nodes.py    three nodes: killed, restarted one after the other, paused
test_refusals.py topics that take no more for a while
"""
