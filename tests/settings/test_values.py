"""What single values may look like."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.pointers import Pointer, Text
from streams.settings import values


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("a:1", "a:1"),
        ("a:1, b.c-d_e:65535", "a:1,b.c-d_e:65535"),
        ("[::1]:9092", "[::1]:9092"),
        ("[fe80::1%eth0]:9092,x:1", "[fe80::1%eth0]:9092,x:1"),
        (" embedded ", "embedded"),
    ],
)
def test_servers_are_hosts_with_ports(given_: str, kept: str) -> None:
    assert values.servers(given_) == kept


@pytest.mark.parametrize(
    "wrong",
    ["", "a", "a:", ":1", "a:x", "a:70000", "a:-1", "a:1;b:2", "a:1 b:2", "u:p@a:1", "a:1,,b:2",
     "[::1]", "::1", "a:¹", "embedded,a:1", "http://a:1"],
)  # fmt: skip
def test_servers_without_host_or_port_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"^must be "):
        values.servers(wrong)


@given(st.text(max_size=40))
def test_every_text_that_passes_can_be_compiled(text: str) -> None:
    """Settings never let a pointer or template through that the decoder refuses."""
    try:
        values.pointer_or_template(text)
    except ValueError:
        return
    Text(text)


@given(st.text(alphabet="/~01ab{}", max_size=12))
def test_every_id_that_passes_can_be_compiled(text: str) -> None:
    try:
        values.pointer(text)
    except ValueError:
        return
    Pointer(text)


@pytest.mark.parametrize(
    ("text", "passes"),
    [("/a", True), ("{/a}: {/b/0}", True), ('{"x": {/a}}', True), ("{a}", False), ("{/a", False)],
)
def test_templates_have_pointers_in_braces(text: str, passes: bool) -> None:
    try:
        values.pointer_or_template(text)
    except ValueError:
        assert not passes
    else:
        assert passes


@pytest.mark.parametrize("same", ["CAF\u00c9", " caf\u00e9 ", "cafe\u0301"])
def test_labels_that_differ_in_case_blanks_or_unicode_form_alone_are_the_same(same: str) -> None:
    with pytest.raises(ValueError, match="are the same"):
        values.labels(("caf\u00e9", same))


@pytest.mark.parametrize(
    "wrong", ["", "x", "ftp://h", "http://", "http://h:99999", "https://h/?a=1"]
)
def test_an_api_has_a_plain_address(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"^must be an address"):
        values.url(wrong)


def test_a_final_slash_does_not_double() -> None:
    assert values.url("http://127.0.0.1:8080/v1/") == "http://127.0.0.1:8080/v1"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)
_tables = st.dictionaries(
    st.sampled_from(["kafka", "worker", "task", "provider", "x"]),
    _json
    | st.dictionaries(
        st.sampled_from(["id", "web", "sasl_password", "voyage", "bootstrap_servers"]), _json
    )
    | st.lists(
        st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "source",
                    "sink",
                    "operation",
                    "batch",
                    "labels",
                    "text",
                    "output",
                    "limits",
                ]
            ),
            _json | st.sampled_from(["a", "b", "custom", "embed", "classify"]),
        ),
        max_size=3,
    ),
)


@given(_tables)
def test_no_configuration_raises_anything_but_its_problems(tables: dict[str, object]) -> None:
    """Whatever stands in the file: settings, or a list of lines."""
    from streams.errors import ConfigError
    from streams.settings.load import settings_of

    problems: tuple[str, ...] = ()
    try:
        settings_of(tables, {}, need_tasks=True)
    except ConfigError as error:
        problems = error.problems or ("",)
    assert all(line and "\n" not in line for line in problems)


def test_a_home_directory_and_a_relative_name_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text("x")
    assert values.existing_file("~/key", Path("/none")) == tmp_path / "key"
    assert values.existing_file("key", tmp_path) == tmp_path / "key"
