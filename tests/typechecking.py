"""The run-time type checker of the tests: an int will do where a float is asked for (PEP 484)."""

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
