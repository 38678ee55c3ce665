"""Proves that the declarations are complete and agree with themselves."""

from nsu.conf.keys import BLOCKS, KEYS


def test_names_are_those_of_the_design() -> None:
    declared = {kind.name: {key.name for key in KEYS if key.block == kind.name} for kind in BLOCKS}
    assert declared == {
        "MACHINE": {"STATE", "WEB", "WEB_CERTIFICATE", "WEB_KEY", "USER", "SETUP"},
        "INTERFACE": {"ADDRESS"},
        "NSU": {"CONFIG_PORT", "LISTEN", "PRIVILEGED_PORT", "TLS_CERT", "TLS_KEY", "TLS_CA", "DISCOVERY"},
        "ARRAY": {"LEVEL", "DRIVE", "SPARE", "STRIPE"},
        "HOST": {"ADDRESS", "SECRET_FILE", "TLS", "DATA_PORT"},
        "UNIT": {"LBA", "ACCESS", "ZERO", "SHARED_WRITE", "UUID"},
        "SERVER": {
            "ADDRESS", "CONFIG_PORT", "LOGIN", "SECRET_FILE", "CONNECTIONS", "CONNECTIONS_MAX", "ON_NO_PATH",
            "PAYLOAD_CRC", "TLS", "TLS_CERT", "TLS_KEY", "TLS_CA",
        },
        "DISK": {"SHOW", "AT", "OWNER", "MODE", "NUMBER"},
    }  # fmt: skip


def test_defaults_and_examples_are_values_of_their_type() -> None:
    for key in KEYS:
        for text in (*key.example, *([key.default] if key.default is not None else [])):
            key.type.read(text)
        assert len(key.example) == 1 or key.repeatable


def test_every_key_is_required_or_has_a_default() -> None:
    for key in KEYS:
        assert [key.required, key.default is not None, bool(key.default_words)].count(True) == 1, key.name


def test_no_key_is_declared_twice() -> None:
    assert len({(key.block, key.name) for key in KEYS}) == len(KEYS)
