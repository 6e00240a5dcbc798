"""Everything that touches Kafka.

`consume` brings records as lists, `produce` writes outcomes in order, `broker` is the embedded one.
`client` has what every connection shares (`credentials` for Faust's); `contacts`, `nodes` and
`admin` go to another node when one is silent; `remedies` says what to do about an error. `topics`
finds and creates topics, `record_batch` reads a batch that aiokafka cannot, `extents` says where a
log begins and ends, `groups` whether a group has members, `tail` reads a topic for a person,
`topic_reader` for a job, and `record_views` prints what it reads.
"""
