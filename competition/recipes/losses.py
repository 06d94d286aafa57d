"""The terms of a training loss; `training.losses.build_loss` makes the function."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from competition.settings import Settings

_OVERLAP = {"epsilon", "over", "empty", "exclusive"}
_USES: dict[str, set[str]] = {
    "bce": set(),
    "focal": {"alpha", "gamma"},
    "dice": _OVERLAP,
    "jaccard": _OVERLAP,
    "tversky": _OVERLAP | {"alpha", "beta"},
    "focal-tversky": _OVERLAP | {"alpha", "beta", "gamma", "form"},
    "lovasz": {"over", "empty", "exclusive"},
    "cross-entropy": set(),
    "boundary": {"exclusive"},
    "metric": set(),
}
_DEFAULTS: dict[str, dict[str, float]] = {
    "focal": {"alpha": 0.25, "gamma": 2.0},
    "tversky": {"alpha": 0.3, "beta": 0.7},
    "focal-tversky": {"alpha": 0.3, "beta": 0.7, "gamma": 4 / 3},
}

ClassWeights = Literal["equal", "inverse", "inverse-root"]
Over = Literal["image", "batch"]


class LossTerm(Settings):
    """One term of the training loss. Options that its name does not use are refused.

    >>> LossTerm(name="tversky").beta
    0.7
    """

    name: Literal[
        "bce",
        "focal",
        "dice",
        "jaccard",
        "tversky",
        "focal-tversky",
        "lovasz",
        "cross-entropy",
        "boundary",
        "metric",
    ] = Field(description="metric: one minus the competition's own score, softened")
    weight: float = Field(1.0, gt=0)
    class_weights: ClassWeights = Field(
        "equal", description="by the share of pixels that each class has in training"
    )
    alpha: float | None = Field(
        None, ge=0, le=1, description="focal: weight of positives; tversky: of false positives"
    )
    beta: float | None = Field(None, ge=0, le=1, description="tversky: of false negatives")
    gamma: float | None = Field(
        None, ge=0, description="focal: power; focal-tversky: root or power, as `form` says"
    )
    form: Literal["root", "power"] = Field(
        "root",
        description="focal-tversky: root (1 − T)^(1/γ), as in its paper: masks that are nearly "
        "right pull harder; power (1 − T)^γ, as in the survey: those that are far off do",
    )
    epsilon: float = Field(1e-6, gt=0, description="pixels added above and below the fraction")
    over: Over = Field(
        "image", description="one fraction an image and class, or one a class over the batch"
    )
    empty: Literal["count", "skip", "bce"] = Field(
        "count", description="where a class has no target pixel: the fraction, nothing, or BCE"
    )
    exclusive: bool = Field(
        False, description="probabilities by softmax over the classes and background, not sigmoid"
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_name(cls, given: Any) -> Any:
        """alpha, beta and gamma mean different things by name, and so do their defaults."""
        if not isinstance(given, dict):
            return given
        defaults = _DEFAULTS.get(given.get("name", ""), {})
        chosen = {key: value for key, value in given.items() if value is not None}
        return {**defaults, **chosen}

    @model_validator(mode="after")
    def _options_are_used(self) -> Self:
        options = set(type(self).model_fields) - {"name", "weight", "class_weights"}
        unused = sorted(
            key
            for key in options - _USES[self.name]
            if getattr(self, key) != type(self).model_fields[key].default
        )
        if unused:
            used = sorted(_USES[self.name])
            raise ValueError(f"{self.name!r} does not use {unused}; it uses {used}")
        return self

    @model_validator(mode="after")
    def _powers_have_finite_slopes(self) -> Self:
        if self.gamma is None:
            return self
        if self.name == "focal" and 0 < self.gamma < 1:
            raise ValueError(f"gamma {self.gamma} of focal: 0, or 1 and more")
        if self.name == "focal-tversky" and self.gamma < 1:
            raise ValueError(
                f"gamma {self.gamma} of focal-tversky: 1 and more (`form` says root or power)"
            )
        return self
