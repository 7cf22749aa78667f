"""Which engine suits: the engines side by side, and the rules that choose one of them.

Whatever is said of an engine here is read from its record, so that it cannot lag behind. The rules
are a table that is read from the top: the first whose answer is yes wins, unless its engine does
not start on the hardware or lacks what is needed; then the next one is asked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.engines.base import Engine, Metric
from pulumi_llm_inference.spec.autoscaling import Signal
from pulumi_llm_inference.spec.model_server import EngineName, ModelServerSpec
from pulumi_llm_inference.spec.problems import nearest

TITLES: Mapping[EngineName, str] = {
    EngineName.VLLM: "vLLM",
    EngineName.SGLANG: "SGLang",
    EngineName.TENSORRT_LLM: "TensorRT-LLM",
    EngineName.TRITON: "Triton",
    EngineName.OLLAMA: "Ollama",
}
"""Engines as people write them."""

FAMILIES: Mapping[str, tuple[int, int]] = {
    "pascal": (6, 0),
    "volta": (7, 0),
    "turing": (7, 5),
    "ampere": (8, 0),
    "ada": (8, 9),
    "hopper": (9, 0),
    "blackwell": (10, 0),
}
"""First CUDA compute capability of families of GPUs (developer.nvidia.com/cuda-gpus)."""

LEAST_DAYS = 14
"""Days until production from which TensorRT-LLM is worth its work: two weeks, the more cautious end
of the one to two that an estimate names (agoradigest.com, 2026-06-11: a claim, not a measurement).
"""


class Need(StrEnum):
    """What a server must be able to do, since not every engine is."""

    AUTOSCALING = "autoscaling"
    """Replicas follow the requests waiting."""
    LORA = "lora"
    """LoRA adapters are served beside the model."""
    MULTI_NODE = "multi-node"
    """A replica is spread over several nodes."""
    API_KEY = "api-key"
    """The server itself asks requests for a key."""
    SEVERAL_FRAMEWORKS = "several-frameworks"
    """Models of other frameworks, or ensembles, are behind the same server."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What is known of the project. What is not, counts for no engine and against none."""

    accelerator: str | None = None
    """GPU model of the catalog, with or without `nvidia-`, or one of `FAMILIES`. None: open."""
    models: int | None = None
    """Models that will be served in the months to come. None: open."""
    days: float | None = None
    """Days until production. None: open."""
    shared_prefixes: bool = False
    """Whether many requests begin alike, go over many turns, or need structured output. Default
    no."""
    development: bool = False
    """Whether it is for development only. Default no."""
    needs: frozenset[Need] = frozenset()
    """What the server must be able to do. Default: nothing beyond answering."""


@dataclass(frozen=True)
class Rule:
    """One step of the decision."""

    engine: EngineName
    """Engine of those who answer yes."""
    question: str
    """What is asked; empty: nothing, the rest ends here."""
    applies: Callable[[Answers], bool]
    """Whether the answers say yes."""
    reason: str
    """Why the engine is the right one then."""


RULES = (
    Rule(
        EngineName.TRITON,
        "Are models of other frameworks, or ensembles, behind the same server?",
        lambda answers: Need.SEVERAL_FRAMEWORKS in answers.needs,
        "one server and one API for models of several frameworks, in a model repository of yours",
    ),
    Rule(
        EngineName.OLLAMA,
        "Is it for development only?",
        lambda answers: answers.development,
        "the name of a model of its library brings it, quantized, to the smallest GPUs too; it has "
        "no metrics and drops requests when it stops, which matters in production",
    ),
    Rule(
        EngineName.TENSORRT_LLM,
        f"Is it one model that stays, with {LEAST_DAYS} days or more until production?",
        lambda answers: answers.models == 1 and (answers.days or 0) >= LEAST_DAYS,
        "the work of tuning it to one model and one kind of NVIDIA GPU is done once and then pays",
    ),
    Rule(
        EngineName.SGLANG,
        "Do many requests begin alike, go over many turns, or need structured output?",
        lambda answers: answers.shared_prefixes,
        "it keeps the KV cache of whatever prompts have in common in a tree (RadixAttention), and "
        "is made for structured output",
    ),
    Rule(
        EngineName.VLLM,
        "",
        lambda _: True,
        "the usual choice: every setting of this library works with it, on Turing and newer GPUs",
    ),
)
"""The decision, from the first question to the last: what only one engine can do, then what the
project is, then how its requests are."""


@dataclass(frozen=True)
class Figure:
    """A published measurement: its author's, not this library's."""

    engine: EngineName
    """Engine that it speaks for."""
    text: str
    """What was measured, on what."""
    source: str
    """Where it stands."""
    date: str
    """When it was published."""


FIGURES = (
    Figure(
        EngineName.SGLANG,
        "up to 6.4 times the throughput of the systems of its time, where prompts share prefixes "
        "or answers are structured",
        "SGLang: Efficient Execution of Structured Language Model Programs, arXiv 2312.07104",
        "2024",
    ),
    Figure(
        EngineName.SGLANG,
        "16,200 tokens/s beside vLLM's 12,500 (29 % more), Llama 3.1 8B on one H100; less on 70B "
        "and where no prefixes are shared",
        "towardsai.com, 'I Served the Same Model on vLLM, SGLang, and TensorRT-LLM'",
        "2026-06-18",
    ),
    Figure(
        EngineName.TENSORRT_LLM,
        "13 % more throughput than vLLM with 50 requests at once, Llama 3.3 70B in FP8 on one H100 "
        "(vLLM 0.18.0; TensorRT-LLM 1.2.0 with a compiled engine, which took 28 minutes to make)",
        "cloudai.pt, 'vLLM vs TensorRT-LLM vs SGLang: H100 Benchmarks 2026'",
        "2026",
    ),
)
"""Published figures for what `RULES` say. They age within months: measure your own requests."""


@dataclass(frozen=True)
class Recommendation:
    """An engine, and how the rules came to it."""

    engine: EngineName
    """The engine that suits."""
    reason: str
    """Why."""
    because: tuple[str, ...]
    """The questions on the way to it, each with its answer."""
    alternatives: Mapping[EngineName, str]
    """Other engines that can do what is needed, each with what speaks for it."""
    impossible: Mapping[EngineName, str]
    """Engines that cannot, each with the reason."""


class NoEngineError(ValueError):
    """No engine can do what is needed."""


def recommend(
    answers: Answers, engines: Mapping[EngineName, Engine] | None = None
) -> Recommendation:
    """The engine for `answers`, out of `engines` (default: all).

    Raises:
        NoEngineError: if none can run on the accelerator and do what is needed.
        ValueError: if the accelerator is not known.
    """
    known = ENGINES if engines is None else engines
    against = {name: obstacles(engine, answers) for name, engine in known.items()}
    impossible = {name: "; ".join(reasons) for name, reasons in against.items() if reasons}
    possible = [name for name in known if name not in impossible]
    if not possible:
        listed = [f"  {TITLES[name]}: {why}" for name, why in impossible.items()]
        raise NoEngineError("\n".join(["no engine can do all of this", *listed]))
    chosen, because = _decide(answers, possible, impossible)
    return Recommendation(
        engine=chosen,
        reason=_REASONS[chosen],
        because=because,
        alternatives={name: _REASONS[name] for name in possible if name != chosen},
        impossible=impossible,
    )


_REASONS = {rule.engine: rule.reason for rule in RULES}


def _decide(
    answers: Answers, possible: list[EngineName], impossible: Mapping[EngineName, str]
) -> tuple[EngineName, tuple[str, ...]]:
    """The engine of the first rule that applies and whose engine can, and the steps to it."""
    steps: list[str] = []
    for rule in RULES:
        if not rule.applies(answers):
            steps.append(f"{rule.question} No.")
        elif rule.engine in possible:
            steps.append(f"{rule.question} Yes." if rule.question else "Nothing else is asked for.")
            return rule.engine, tuple(steps)
        elif why := impossible.get(rule.engine):
            told = f"{rule.question} Yes, but" if rule.question else "Otherwise"
            steps.append(f"{told} not {TITLES[rule.engine]}: {why}.")
    steps.append(f"{TITLES[possible[0]]} is the first of those that can.")
    return possible[0], tuple(steps)


def obstacles(engine: Engine, answers: Answers) -> list[str]:
    """Why an engine cannot be the answer; empty if it can."""
    found = [_LACKS[need](engine) for need in Need if need in answers.needs]
    if answers.accelerator is not None:
        found.insert(0, _too_old(engine, answers.accelerator))
    return [reason for reason in found if reason]


def capability(accelerator: str) -> tuple[int, int]:
    """CUDA compute capability of a GPU model or the first of a family.

    Raises:
        ValueError: if there is none of this name.
    """
    name = accelerator.strip().lower()
    if name in FAMILIES:
        return FAMILIES[name]
    catalog = accelerators()
    if found := catalog.get(name) or catalog.get(f"nvidia-{name}"):
        return found.compute_capability
    cure = nearest(name, [*catalog, *FAMILIES])
    raise ValueError(f"accelerator '{accelerator}' is neither in the catalog nor a family ({cure})")


def _too_old(engine: Engine, accelerator: str) -> str:
    if capability(accelerator) >= engine.least_capability:
        return ""
    return f"it needs compute capability {_least(engine)}, which {accelerator} does not have"


def _least(engine: Engine) -> str:
    """The least compute capability, with its family if it is the first of one: `8.0 (ampere)`."""
    number = ".".join(map(str, engine.least_capability))
    family = next(
        (name for name, first in FAMILIES.items() if first == engine.least_capability), ""
    )
    return f"{number} ({family})" if family else number


def no_queue(engine: Engine) -> str:
    """Why an ordinary server of an engine cannot scale by its queue; empty if it can."""
    ordinary = ModelServerSpec(engine=engine.name, model="meta-llama/Llama-3.1-8B-Instruct")
    if reason := engine.no_queue(ordinary):
        return reason
    return "" if engine.gauges(Signal.QUEUE_SIZE) else "it does not measure its queue"


def _without_queue(engine: Engine) -> str:
    """`no_queue` for a line that begins with the engine's title, which is not said twice."""
    reason, title = no_queue(engine), f"{TITLES[engine.name]} "
    return f"it {reason.removeprefix(title)}" if reason.startswith(title) else reason


def _without(field: str, what: str) -> Callable[[Engine], str]:
    """Why an engine that does not understand a field of a server lacks `what`."""

    def lacks(engine: Engine) -> str:
        if field in engine.fields:
            return ""
        cure = engine.instead.get(field)
        return f"it has no {what} ({cure})" if cure else f"it has no {what}"

    return lacks


_LACKS: Mapping[Need, Callable[[Engine], str]] = {
    Need.AUTOSCALING: _without_queue,
    Need.LORA: _without("lora_adapters", "LoRA adapters"),
    Need.MULTI_NODE: lambda engine: (
        "" if engine.node_arguments else "a replica is on one node here"
    ),
    Need.API_KEY: _without("api_key", "API keys"),
    Need.SEVERAL_FRAMEWORKS: lambda engine: (
        "" if engine.name is EngineName.TRITON else "it serves language models only"
    ),
}
"""Why an engine does not meet a need; empty if it does."""


@dataclass(frozen=True)
class Row:
    """One line of the comparison."""

    title: str
    """What is compared."""
    cell: Callable[[Engine], str]
    """What an engine has there."""
    long: bool = False
    """Whether it holds names too long for a table with a column for each engine. Default no."""


def _metrics(engine: Engine) -> str:
    if engine.metrics_path is None:
        return "none"
    return f":{engine.metrics_port or engine.port}{engine.metrics_path}"


def _queue(engine: Engine) -> str:
    series = engine.metrics.get(Metric.WAITING)
    if series is None:
        return "none"
    return series.where("") if series.labels else series.name


def _parallelism(engine: Engine) -> str:
    kinds = {"tensor_parallel_size": "tensor", "pipeline_parallel_size": "pipeline"}
    found = [kind for field, kind in kinds.items() if field in engine.fields]
    return ", ".join(found) or "its own"


def _prefix_caching(engine: Engine) -> str:
    if "prefix_caching" in engine.fields:
        return "on, can be turned off"
    return engine.instead.get("prefix_caching", "none")


def _meets(need: Need) -> Callable[[Engine], str]:
    return lambda engine: "no" if _LACKS[need](engine) else "yes"


ROWS = (
    Row("image", lambda engine: engine.image, long=True),
    Row("port", lambda engine: str(engine.port)),
    Row("metrics", _metrics, long=True),
    Row("queue", _queue, long=True),
    Row("startup probe", lambda engine: engine.startup.path),
    Row("readiness probe", lambda engine: engine.readiness.path),
    Row("liveness probe", lambda engine: engine.liveness.path),
    Row("on SIGTERM", lambda engine: "finishes requests" if engine.drains else "drops requests"),
    Row("parallelism", _parallelism),
    Row("several nodes", _meets(Need.MULTI_NODE)),
    Row("LoRA adapters", _meets(Need.LORA)),
    Row("prefix caching", _prefix_caching),
    Row("API key", _meets(Need.API_KEY)),
    Row("autoscaling by queue", _meets(Need.AUTOSCALING)),
    Row("least compute", _least),
)
"""What engines are compared by."""


def comparison(engine: Engine) -> dict[str, str]:
    """An engine's column of the comparison, by title."""
    return {row.title: row.cell(engine) for row in ROWS}
