"""Unions of component configurations: chosen by `kind`, to and from JSON without loss."""

from typing import Annotated, Any, get_args

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from workshop.generative_models.core.configuration import (
    COMPONENT_CONFIGS,
    CapacityConfig,
    ELBOConfig,
    MixtureConfig,
    objectives,
    posteriors,
    priors,
    quantizers,
)

UNIONS: list[tuple[Any, Any]] = [
    (priors.AnyPriorConfig, COMPONENT_CONFIGS["prior"]),
    (posteriors.AnyPosteriorConfig, COMPONENT_CONFIGS["posterior"]),
    (objectives.AnyObjectiveConfig, COMPONENT_CONFIGS["objective"]),
    (quantizers.AnyQuantizerConfig, COMPONENT_CONFIGS["quantizer"]),
]


@pytest.mark.parametrize(("union", "by_kind"), UNIONS)
def test_a_component_is_chosen_by_its_kind(union, by_kind):
    adapter = TypeAdapter(Annotated[union, Field(discriminator="kind")])
    assert set(by_kind.values()) == set(get_args(union))
    for kind, member in by_kind.items():
        config = adapter.validate_python({"kind": kind})
        assert type(config) is member
        assert config == member() == member(kind=kind)
        assert adapter.validate_json(config.model_dump_json()) == config
    with pytest.raises(ValidationError, match="'other' found using 'kind' does not match"):
        adapter.validate_python({"kind": "other"})


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (MixtureConfig, {"components": 0}, "components"),
        (MixtureConfig, {"kind": "standard_normal"}, "kind"),
        (ELBOConfig, {"weight": -1.0}, "weight"),
        (ELBOConfig, {"free_bits": float("nan")}, "free_bits"),
        (ELBOConfig, {"schedule": "linear"}, "schedule='linear' with schedule_steps=0: set both"),
        (ELBOConfig, {"schedule_steps": 5}, "schedule='constant' with schedule_steps=5: set both"),
        (CapacityConfig, {"capacity_num_iter": 0}, "capacity_num_iter"),
        (CapacityConfig, {"gamma": float("inf")}, "gamma"),
    ],
)
def test_bad_values_are_refused_by_name(kind, fields, message):
    with pytest.raises(ValidationError, match=message):
        kind(**fields)
