"""Wrong configurations, each with the one line that must come of it.

`{dir}` and `{file}` in a line: where the test wrote the file, which is called wrong.toml.
"""

from __future__ import annotations

KAFKA = """[kafka]
bootstrap_servers = "localhost:9092"
"""
WORKER = """[worker]
id = "reviews"
"""
TASK = """[[task]]
name = "sentiment"
source = "reviews"
sink = "reviews.sentiment"
operation = "classify"
labels = ["good", "bad"]
"""
NAME = 'a name of letters, digits, ".", "_" and "-", 1 to 249 long, and neither "." nor ".."'
SERVERS = '"host:port", several as "host:port,host:port", or "embedded"'
SECRETS = (
    "secrets come only from the environment or from files named there"
    " (api_key_file, sasl_password_file, ssl_password_file)"
)
TASK_KEYS = (
    "name, source, sink, dead_letter, operation, provider, model, labels, instructions, schema,"
    " dimension, input_type, text, id, order, tombstones, too_large, priority, version, batch,"
    " calls, limits, output"
)

KAFKA_CASES = {
    'bootstrap_servers = "localhost"': (
        f'kafka.bootstrap_servers: must be {SERVERS}; "localhost" lacks the port'
    ),
    'bootstrap_servers = "localhost:0"': (
        f'kafka.bootstrap_servers: must be {SERVERS}; "0" is not a port from 1 to 65535'
    ),
    'bootstrap_servers = "a:9092,"': (
        f'kafka.bootstrap_servers: must be {SERVERS}; "" lacks the port'
    ),
    'bootstrap_servers = "::1:9092"': (
        f"kafka.bootstrap_servers: must be {SERVERS};"
        ' an IPv6 address needs brackets, as in "[::1]:9092"'
    ),
    'bootstrap_servers = "kafka://a:9092"': (
        f"kafka.bootstrap_servers: must be {SERVERS}, without a scheme"
    ),
    'bootstrap_servers = "a b:9092"': (
        f'kafka.bootstrap_servers: must be {SERVERS}; "a b" is not a host'
    ),
    "bootstrap_servers = 9092": f"kafka.bootstrap_servers: must be {SERVERS}, not 9092",
    "session_timeout_s = 5": "kafka.session_timeout_s: must be a number from 6 to 1800, not 5",
    "session_timeout_s = nan": "kafka.session_timeout_s: must be a number from 6 to 1800, not nan",
    'security_protocol = "TLS"': (
        "kafka.security_protocol: must be"
        ' "PLAINTEXT", "SSL", "SASL_PLAINTEXT" or "SASL_SSL", not "TLS"'
    ),
    'ssl_cafile = "wrong.toml"': (
        'kafka.ssl_cafile: needs security_protocol = "SSL" or "SASL_SSL"'
    ),
    'sasl_username = "me"': (
        'kafka.sasl_username: needs security_protocol = "SASL_SSL" or "SASL_PLAINTEXT"'
    ),
    'security_protocol = "SSL"\nssl_cafile = "none.pem"': (
        "kafka.ssl_cafile: {dir}/none.pem: no such file"
    ),
    'security_protocol = "SSL"\nssl_keyfile = "wrong.toml"': (
        "kafka.ssl_certfile: is missing; ssl_keyfile is the key of a certificate"
    ),
    'sasl_password = "hush"': f"kafka.sasl_password: {SECRETS}",
    'bootstrap_server = "a:1"': (
        'kafka.bootstrap_server: unknown key; did you mean "bootstrap_servers"? allowed:'
        " bootstrap_servers, session_timeout_s, security_protocol, sasl_mechanism, sasl_username,"
        " sasl_password_file, ssl_cafile, ssl_certfile, ssl_keyfile, ssl_password_file"
    ),
    'bootstrap_servers = "embedded"\nsecurity_protocol = "SSL"': (
        'kafka.security_protocol: must be "PLAINTEXT" with bootstrap_servers = "embedded",'
        ' not "SSL"'
    ),
}

WORKER_CASES = {
    'id = "a/b"': f'worker.id: must be {NAME}, not "a/b"',
    'id = "w"\nguarantee = "twice"': (
        'worker.guarantee: must be "at_least_once" or "exactly_once", not "twice"'
    ),
    'id = "w"\nstart = "end"': 'worker.start: must be "earliest" or "latest", not "end"',
    f'id = "{"w" * 240}"\nledger = true': (
        'worker.ledger: the ledger of "reviews" would have a name of 255 characters,'
        " {{id}}.{{source}}.ledger; allowed: 249: take a shorter id"
    ),
    'id = "w"\nledger = 1': "worker.ledger: must be true or false, not 1",
    'id = "w"\ncommit_interval_ms = 0.5': (
        "worker.commit_interval_ms: must be a whole number from 1 to 60000, not 0.5"
    ),
    'id = "w"\ndrain_s = true': "worker.drain_s: must be a number from 0 to 45, not true",
    'id = "w"\nshutdown_timeout_s = "25"': (
        'worker.shutdown_timeout_s: must be a number from 0 to 3600, not "25"'
    ),
    'id = "w"\nmax_buffered_mb = 0': (
        "worker.max_buffered_mb: must be a whole number from 1 to 65536, not 0"
    ),
    'id = "w"\nweb = "6066"': (
        'worker.web: must be "host:port", or "" for none; "6066" lacks the port'
    ),
}

TASK_CASES = {
    'name = "a b"': f'task[0].name: must be {NAME}, not "a b"',
    'source = ".."': f'task.sentiment.source: must be {NAME}, not ".."',
    'sink = "reviews"': 'task.sentiment.sink: must be another topic than source, not "reviews"',
    'dead_letter = "reviews.sentiment"': (
        'task.sentiment.dead_letter: must be another topic than sink, not "reviews.sentiment"'
    ),
    'operation = "clasify"': (
        "task.sentiment.operation: must be"
        ' "classify", "extract", "embed", "generate" or "custom", not "clasify"'
    ),
    'provider = "openai"': (
        'task.sentiment.provider: must be "anthropic", "voyage" or a registered one, not "openai"'
    ),
    'provider = "voyage"': (
        'task.sentiment.provider: must be "anthropic" for classify: "voyage" cannot classify'
    ),
    'model = ""': "task.sentiment.model: must be the name of a model of anthropic",
    'labels = ["good"]': "task.sentiment.labels: must be two or more distinct labels, not 1",
    'labels = ["Good", "good "]': (
        "task.sentiment.labels: must be two or more distinct labels;"
        ' "Good" and "good " are the same'
    ),
    'labels = ["good", ""]': (
        "task.sentiment.labels: must be two or more distinct labels; one is empty"
    ),
    'labels = ["good", 1]': "task.sentiment.labels[1]: must be a text in quotes, not 1",
    "dimension = 512": "task.sentiment.dimension: classify takes none; it belongs to embed",
    'text = "review"': (
        'task.sentiment.text: must be a JSON Pointer as "/text",'
        ' or a template as "{{/title}}: {{/body}}", not "review"'
    ),
    'text = "A {title}"': (
        'task.sentiment.text: must be a JSON Pointer as "/text", or a template as'
        ' "{{/title}}: {{/body}}"; {{title}} is no pointer: write {{/title}}'
    ),
    'text = "{/a"': (
        'task.sentiment.text: must be a JSON Pointer as "/text", or a template as'
        ' "{{/title}}: {{/body}}"; a "{{/" is not closed by "}}"'
    ),
    'text = "/a~b"': (
        'task.sentiment.text: must be a JSON Pointer, where "~" is written "~0", not "/a~b"'
    ),
    'id = "id"': 'task.sentiment.id: must be a JSON Pointer, which starts with "/", not "id"',
    'order = "any"': 'task.sentiment.order: must be "partition", "key" or "none", not "any"',
    'tombstones = "keep"': (
        'task.sentiment.tombstones: must be "forward", "drop" or "dead_letter", not "keep"'
    ),
    'too_large = "drop"': (
        'task.sentiment.too_large: must be "dead_letter" or "truncate", not "drop"'
    ),
    "max_items = 3": "task.sentiment.max_items: unknown key here; it belongs in [task.batch]",
    'lables = ["a", "b"]': (
        f'task.sentiment.lables: unknown key; did you mean "labels"? allowed: {TASK_KEYS}'
    ),
    "batch = 20": "task.sentiment.batch: must be a table, [task.batch], not 20",
    "[task.batch]\nmax_items = 0": (
        "task.sentiment.batch.max_items: must be a whole number from 1 to 10000, not 0"
    ),
    "[task.batch]\nmax_wait_ms = 1e3": (
        "task.sentiment.batch.max_wait_ms: must be a whole number from 0 to 3600000, not 1000.0"
    ),
    "[task.batch]\nmax_wait_s = 1": (
        'task.sentiment.batch.max_wait_s: unknown key; did you mean "max_wait_ms"?'
        " allowed: max_items, max_wait_ms, max_tokens, max_bytes, adaptive, key, flush_by"
    ),
    "[task.calls]\nmax_in_flight = true": (
        "task.sentiment.calls.max_in_flight: must be a whole number from 1 to 10000, not true"
    ),
    "[task.calls]\ntimeout_s = inf": (
        "task.sentiment.calls.timeout_s: must be a number from 0.01 to 3600, not inf"
    ),
    "[task.calls]\nmax_attempts = -1": (
        "task.sentiment.calls.max_attempts: must be a whole number from 1 to 100, not -1"
    ),
    "[task.limits]\nrequests_per_minute = 0": (
        "task.sentiment.limits.requests_per_minute: must be a whole number from 1 to 1000000000, "
        "not 0"
    ),
    '[task.output]\nmode = "full"': (
        'task.sentiment.output.mode: must be "envelope", "merge" or "result", not "full"'
    ),
    '[task.output]\nembedding = "base64"': (
        "task.sentiment.output.embedding: classify takes none; it belongs to embed"
    ),
}

FILES = {
    "[kafka\n": (
        "{file}: line 1, column 7: is not TOML: expected ']' at the end of a table declaration"
    ),
    "a = 1\na = 2\n": "{file}: line 2, column 6: is not TOML: cannot overwrite a value",
    f"task = 1\n{WORKER}": "task: must be an array of tables, each under its own [[task]], not 1",
    f"{WORKER}[task]\n": (
        "task: must be an array of tables, each under its own [[task]], not a table"
    ),
    f"kafka = 1\n{WORKER}{TASK}": "kafka: must be a table, [kafka], not 1",
    f"{KAFKA}{TASK}": f"worker.id: is missing; it is the consumer group, and must be {NAME}",
    f"{WORKER}{TASK}[batch]\n": ("batch: unknown key here; it belongs in [[task]]"),
    f"{WORKER}{TASK}[workers]\n": (
        'workers: unknown key; did you mean "worker"?'
        " allowed: kafka, worker, task, provider, limit_groups, prices"
    ),
    f"{WORKER}{TASK}[provider.antropic]\n": (
        'provider.antropic: no task uses it; did you mean "anthropic"?'
        " allowed: anthropic, voyage, or one that a task names"
    ),
    f'{WORKER}{TASK}[provider.anthropic]\napi_key = "sk-ant-1"\n': (
        f"provider.anthropic.api_key: {SECRETS}"
    ),
    f'{WORKER}{TASK}[provider.anthropic]\napi_key_file = "sk-ant-123456789"\n': (
        "provider.anthropic.api_key_file: must be the name of a file;"
        " this looks like a secret itself"
    ),
    f'{WORKER}{TASK}[provider.anthropic]\nbase_url = "user:x@h"\n': (
        "provider.anthropic.base_url: must be an address as"
        ' "https://host/path", without user, query or fragment'
    ),
    f'{WORKER}[[task]]\nsource = "a"\nsink = "b"\noperation = "embed"\n': (
        f"task[0].name: is missing; it must be {NAME}"
    ),
    f'{WORKER}[[task]]\nname = "n"\nsource = "a"\noperation = "embed"\n': (
        f"task.n.sink: is missing; it must be {NAME}"
    ),
    f'{WORKER}[[task]]\nname = "n"\nsource = "a"\nsink = "b"\noperation = "classify"\n': (
        "task.n.labels: is missing; classify needs two or more distinct labels"
    ),
    f'{WORKER}[[task]]\nname = "n"\nsource = "a"\nsink = "b"\noperation = "generate"\n': (
        "task.n.instructions: is missing; generate needs a text that says what to write"
    ),
    f'{WORKER}[[task]]\nname = "n"\nsource = "a"\nsink = "b"\noperation = "extract"\n': (
        "task.n.schema: is missing; extract needs a JSON Schema: a table or the name of a file"
    ),
    f'{WORKER}[[task]]\nname = "n"\nsource = "a"\nsink = "b"\noperation = "extract"\n'
    'schema = "no.json"\n': "task.n.schema: {dir}/no.json: no such file",
    f'{WORKER}[[task]]\nname = "n"\nsource = "a"\nsink = "b"\noperation = "extract"\n'
    'schema = {{ type = "array" }}\n': (
        'task.n.schema: must describe an object: "type" must be "object" at its top'
    ),
    f'{WORKER}[[task]]\nname = "n"\nsource = "a"\nsink = "b"\noperation = "embed"\n'
    "dimension = 100\n": "task.n.dimension: must be 256, 512, 1024 or 2048, not 100",
    f'{WORKER}[[task]]\nname = "n"\nsource = "a"\nsink = "b"\noperation = "embed"\n'
    'provider = "anthropic"\n': (
        'task.n.provider: must be "voyage" for embed: "anthropic" cannot embed'
    ),
    f'{WORKER}[[task]]\nname = "n"\nsource = "a"\nsink = "b"\noperation = "embed"\n'
    "[task.batch]\nmax_items = 1001\n": (
        "task.n.batch.max_items: must be a whole number from 1 to 1000"
        ' with provider "voyage", not 1001'
    ),
    f"{WORKER}{TASK}{TASK.replace('reviews', 'other')}": (
        'task[1].name: "sentiment" is the name of task[0] too; each task needs its own'
    ),
    f"{WORKER}{TASK}{TASK.replace('sentiment', 'mood')}": (
        'task.mood.source: "reviews" is the source of task[0] too; a worker has one task to a'
        " source: give the second task a worker with its own id"
    ),
    f"{WORKER}{TASK}{TASK.replace('reviews.sentiment', 'back')}".replace(
        '"reviews"\nsink = "back"', '"reviews.sentiment"\nsink = "reviews"'
    ).replace('"sentiment"\nsource = "reviews.s', '"back"\nsource = "reviews.s'): (
        "task.sentiment.source: is part of a cycle of topics"
        " (reviews -> reviews.sentiment -> reviews); no task may feed its own source"
    ),
}


def task_with(line: str) -> str:
    """The task with the line in place of its own line for the same key."""
    key = line.partition(" ")[0]
    kept = [own for own in TASK.splitlines() if own.partition(" ")[0] != key]
    return "\n".join([*kept, line]) + "\n"


def _kafka(lines: str) -> str:
    return lines if lines.startswith("bootstrap_servers") else f"{KAFKA[8:]}{lines}"


CASES = [
    *((f"[kafka]\n{_kafka(lines)}\n{WORKER}{TASK}", line) for lines, line in KAFKA_CASES.items()),
    *((f"{KAFKA}[worker]\n{lines}\n{TASK}", line) for lines, line in WORKER_CASES.items()),
    *((f"{KAFKA}{WORKER}{task_with(lines)}", line) for lines, line in TASK_CASES.items()),
    *((text.replace("{{", "{").replace("}}", "}"), line) for text, line in FILES.items()),
]
