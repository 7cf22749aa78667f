"""What the arguments of all components have in common."""

from collections.abc import Iterable
from typing import Any, Self

import pulumi
from pydantic import ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator

from pulumi_llm_inference.spec.base import Spec
from pulumi_llm_inference.spec.problems import Problem, SpecError, literal_tokens, shape_error


class Args(Spec):
    """A component's arguments: a spec, and the few values that may come from other resources.

    Components take an instance or a mapping with the same keys. What is wrong ends as one
    `pulumi.RunError` that lists everything.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    @model_validator(mode="wrap")
    @classmethod
    def _say_all_problems(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            args = handler(value)
        except ValidationError as error:
            raise pulumi.RunError(str(shape_error(cls, error, value, cls.__name__))) from None
        require([*literal_tokens(value, cls.__name__)], cls.__name__)
        return args


def require(
    problems: Iterable[Problem], subject: str, resource: pulumi.Resource | None = None
) -> None:
    """End the program if there are problems; say the warnings among them.

    Raises:
        pulumi.RunError: listing every problem that is not a warning.
    """
    found = list(problems)
    for problem in found:
        if problem.warning:
            pulumi.log.warn(str(problem), resource)
    if errors := [problem for problem in found if not problem.warning]:
        raise pulumi.RunError(str(SpecError(errors, subject)))
