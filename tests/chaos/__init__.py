"""Seeded faults over real workers on real Apache Kafka, and an account of every item.

schedule.py   what will happen, from a seed alone (pure)
run.py        makes it happen on a scene
scene.py      topics, items, workers, and what is done to them
fleet.py      the workers' processes, and the calls they made
watch.py      looks all the while at what is committed and what is in the topics
account.py    what became of every item, and which promise that breaks (pure)
"""
