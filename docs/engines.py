"""Writes engines.md from the engines' records and the rules that choose one of them."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from pydantic.alias_generators import to_camel

from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.engines.base import Engine, Metric
from pulumi_llm_inference.engines.choice import FIGURES, ROWS, RULES, TITLES, Rule, no_queue

PAGE = Path(__file__).with_suffix(".md")

INTRODUCTION = """\
# Engines

`engine:` of a model says which program serves it. Image, port, probes, metrics, monitor and
autoscaler follow from it. `llm-inference engines` prints the table below, and with `--ask` or
answers as options (`--accelerator nvidia-l4 --models 1 --weeks 4`) recommends an engine.

Two engines ask for more: [Triton](triton.md) for a model repository, Ollama for a model by the name
that its own library has it under, e.g. `llama3.1:8b`. Whether a model fits its GPUs is
[another page](fit.md).

This page is made from the engines' records by `python docs/engines.py`.
"""

WHICH = """\
## Which one

The rules are asked from the top; the first whose answer is yes wins. An engine that does not start
on the GPUs, or lacks what is needed (a queue to scale by, LoRA adapters, several nodes, API keys),
is passed over, and the next question is asked.
"""

PUBLISHED = """\
Published figures behind these rules. They are their authors', for their models and versions, and
were not measured here; measure your own requests:
"""

TABLE = """\
## What each gets
"""

CANNOT = """\
## What each cannot do

A field that an engine does not understand is a problem at preview, with what to do instead.
"""

WANTED = """\
## Often wanted

A model that is larger than a node (vLLM, SGLang), as a LeaderWorkerSet that is scaled by the group:

```yaml
- {name: large, model: deepseek-ai/DeepSeek-R1, pools: [h100], gpus: 8, nodes: 2, maxModelLen: 8192}
```

`gpus` are those of each node. The nodes of a replica come and go together: give the pool `nodes`
times `maxReplicas` of them. Share the cache of the [weights](weights.md), or each node downloads
all.

Adapters and a key (vLLM, SGLang):

```yaml
  loraAdapters: [{name: food-review, source: Kawon/llama3.1-food-finetune_v14_r8}]
  apiKey: {name: chat-key, key: API_KEY}
```

Requests say `"model": "food-review"` and carry `Authorization: Bearer …`. Make the Secret once,
pods wait for it: `kubectl -n NAMESPACE create secret generic chat-key --from-literal=API_KEY=…`.
"""


def page() -> str:
    """The page's text."""
    cannot = [_cannot(engine) for engine in ENGINES.values()]
    parts = [INTRODUCTION, WHICH, flowchart(), _rules(), _figures(), TABLE, _table(), CANNOT]
    return "\n".join([*parts, *cannot, WANTED])


def flowchart() -> str:
    """The rules as a Mermaid flowchart."""
    lines = ["```mermaid", "flowchart TD"]
    for number, (rule, after) in enumerate(pairwise(RULES)):
        following = f"q{number + 1}" if after.question else _end(after)
        lines += [
            f'  q{number}{{"{rule.question}"}}',
            f"  q{number} -- yes --> {_end(rule)}",
            f"  q{number} -- no --> {following}",
        ]
    return "\n".join([*lines, "```", ""])


def _end(rule: Rule) -> str:
    return f'{rule.engine.replace("-", "_")}(["{TITLES[rule.engine]}"])'


def _rules() -> str:
    return "\n".join([*map(_rule, RULES), ""])


def _rule(rule: Rule) -> str:
    return f"- **{TITLES[rule.engine]}**: {rule.reason}."


def _figures() -> str:
    lines = [
        f"- {TITLES[figure.engine]}: {figure.text} ({figure.source}, {figure.date})."
        for figure in FIGURES
    ]
    return "\n".join([PUBLISHED, *lines, ""])


def _table() -> str:
    titles = [TITLES[name] for name in ENGINES]
    lines = [_line(["", *titles]), "|---" * (len(titles) + 1) + "|"]
    for row in ROWS:
        cells = (row.cell(engine) for engine in ENGINES.values())
        lines.append(
            _line([row.title, *(f"`{text}`" if _is_code(text) else text for text in cells)])
        )
    return "\n".join([*lines, ""])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _is_code(text: str) -> bool:
    return any(mark in text for mark in ":/_")


def _cannot(engine: Engine) -> str:
    limits = [f"- {limit}" for limit in _limits(engine)] or ["- Every field works."]
    return "\n".join([f"### {TITLES[engine.name]}", "", *limits, ""])


def _limits(engine: Engine) -> Iterator[str]:
    if reason := no_queue(engine):
        yield f"scale by its queue: {reason}."
    if engine.metrics_path is None:
        yield "be watched: it has no metrics."
    elif missing := [metric for metric in Metric if metric not in engine.metrics]:
        yield f"measure {', '.join(_words(metric) for metric in missing)}."
    if not engine.drains:
        yield "finish running requests when it is told to stop: its pods wait before they tell it."
    if engine.node_arguments is None:
        yield "spread a replica over several nodes (`nodes` above 1)."
    for field, cure in sorted(engine.instead.items()):
        yield f"`{to_camel(field)}`: {cure}."


def _words(metric: Metric) -> str:
    return metric.replace("_", " ")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
