"""How fast replicas change."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi_kubernetes as k8s

from pulumi_llm_inference.spec.autoscaling import (
    AutoscalerSpec,
    BehaviorPreset,
    PolicySelection,
    PolicyType,
    ScalingPolicy,
    ScalingRules,
)


@dataclass(frozen=True)
class Behavior:
    """Scaling rules for both directions."""

    scale_up: ScalingRules
    """Rules for more replicas."""
    scale_down: ScalingRules
    """Rules for fewer replicas."""


def _rules(window: int, *policies: tuple[PolicyType, int, int]) -> ScalingRules:
    return ScalingRules(
        stabilization_window_seconds=window,
        policies=[
            ScalingPolicy(type=kind, value=value, period_seconds=period)
            for kind, value, period in policies
        ],
    )


_PODS, _PERCENT = PolicyType.PODS, PolicyType.PERCENT

PRESETS: Mapping[BehaviorPreset, Behavior] = {
    BehaviorPreset.GUIDE: Behavior(_rules(0, (_PERCENT, 100, 30)), _rules(300, (_PERCENT, 50, 60))),
    # kubernetes/kubernetes: pkg/apis/autoscaling/v2/defaults.go (v1.36.3)
    BehaviorPreset.KUBERNETES: Behavior(
        _rules(0, (_PODS, 4, 15), (_PERCENT, 100, 15)).model_copy(
            update={"select_policy": PolicySelection.MAX}
        ),
        _rules(300, (_PERCENT, 100, 15)),
    ),
    # llm-d/llm-d: guides/workload-autoscaling, P/D scaled objects (read 2026-11-22)
    BehaviorPreset.STEADY: Behavior(_rules(0, (_PODS, 1, 180)), _rules(300, (_PODS, 1, 300))),
}
"""Scaling rules by name."""


def quantity_of(number: float) -> str:
    """The number as Kubernetes writes it: `5`, `500m`. Another spelling would differ at refresh."""
    milli = round(number * 1000)
    return f"{milli}m" if milli % 1000 else str(milli // 1000)


def behavior(
    spec: AutoscalerSpec,
) -> k8s.autoscaling.v2.HorizontalPodAutoscalerBehaviorArgs:
    """Behavior of an autoscaler: its own rules, or else its preset's."""
    preset = PRESETS[spec.preset]
    return k8s.autoscaling.v2.HorizontalPodAutoscalerBehaviorArgs(
        scale_up=_direction(spec.scale_up or preset.scale_up),
        scale_down=_direction(spec.scale_down or preset.scale_down),
    )


def _direction(rules: ScalingRules) -> k8s.autoscaling.v2.HPAScalingRulesArgs:
    return k8s.autoscaling.v2.HPAScalingRulesArgs(
        stabilization_window_seconds=rules.stabilization_window_seconds,
        policies=[
            k8s.autoscaling.v2.HPAScalingPolicyArgs(
                type=policy.type.value, value=policy.value, period_seconds=policy.period_seconds
            )
            for policy in rules.policies
        ],
        select_policy=rules.select_policy and rules.select_policy.value,
        tolerance=None if rules.tolerance is None else quantity_of(rules.tolerance),
    )
