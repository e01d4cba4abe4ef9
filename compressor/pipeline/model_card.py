"""README.md beside a run's last file, as model hubs show it.

The front matter's names are those of the Hugging Face Hub (https://huggingface.co/docs/hub/model-cards).
"""

import json
from pathlib import Path
from typing import Any

from compressor.export.text_files import USAGE
from compressor.pipeline.bill import bill_of
from compressor.report import Artifact, Report, name_of
from compressor.writing import write_atomically

CARD, BILL = "README.md", "bom.cdx.json"
# What the hub calls the tasks, where it has a name.
PIPELINE_TAGS = {
    "image-classification": "image-classification",
    "text-classification": "text-classification",
    "text-regression": "text-classification",
    "token-classification": "token-classification",
    "sentence-embedding": "sentence-similarity",
}
# Of a stage's settings.
TOLD = ("ratio", "budget", "student", "importance", "formats")
KINDS = {
    "distill": "knowledge-distillation",
    "prune": "pruning",
    "vocabulary": "vocabulary-trimming",
    "quantize": "quantization",
}


def write_card(report: Report, out: Path) -> None:
    """Write the card and the bill of materials beside the file that a run left, so that its folder can be given away.

    Args:
        report: A finished run's.
        out: Its folder.
    """
    if not report.artifacts:
        return
    folder = (out / report.artifacts[-1].path).parent
    usage = folder / USAGE
    card = model_card(report, usage.read_text(encoding="utf-8") if usage.is_file() else "")
    for name, text in ((CARD, card), (BILL, json.dumps(bill_of(report), indent=2) + "\n")):
        path = folder / name
        if not path.exists() or path.read_bytes() != text.encode():
            write_atomically(path, text.encode())


def model_card(report: Report, usage: str = "") -> str:
    """The page: front matter, what came out, how it was made, and what is known of its limits.

    Args:
        report: Of a run that left a file.
        usage: What the export stage says of the file's use, where it does, in Markdown.
    """
    artifact, last = report.artifacts[-1], report.stages[-1]
    matter = _front_matter(report, artifact)
    # JSON is YAML, whatever users call their files.
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in matter.items()), "---", ""]
    lines += [f"# {_text(name_of(report))}", "", _text(_summary(report, artifact)), ""]
    lines += ["| | reference | this file |", "|---|---|---|"]
    lines += [f"| {' | '.join(map(_text, row))} |" for row in _rows(report)]
    runs = "; `infer.py` runs it with onnxruntime and numpy alone" if artifact.format == "onnx" else ""
    lines += ["", "## Use", "", f"`{_text(Path(artifact.path).name)}` is the file{runs}."]
    lines += ["", usage.strip("\n")] if usage else []
    lines += ["", "## How it was made", ""]
    lines += [f"- {_text(record.name)}: {_text(_settings(record.settings))}" for record in report.stages[1:]]
    lines += ["", f"By `{_text(report.command)}`, seed {report.seed}. sha256 of the file: `{artifact.sha256}`."]
    lines += ["", "## Limits", ""]
    count = report.score.count
    lines += [f"- {_text(report.score.name)} was measured on {count} samples of the {report.score.split} split of"]
    lines[-1] += f" `{_text(str(report.data.get('source', '')))}`, once."
    if last.latency_ms is not None and last.latency_ms.p50 is not None:
        cpu = report.environment.get("cpu", {}).get("model", "")
        lines += [f"- Milliseconds are those of {_text(str(cpu))} with {_text(last.latency_ms.runtime)}."]
    lines += [f"- {_text(note)}" for note in report.notes]
    if report.quick:
        lines += ["- A quick run: little data and few epochs. Its scores are no result."]
    return "\n".join(lines) + "\n"


def _front_matter(report: Report, artifact: Artifact) -> dict[str, Any]:
    task = str(report.model.get("task") or "")
    kinds = [KINDS[record.kind] for record in report.stages if record.kind in KINDS]
    scored, name = report.stages[-1].score, report.score.name
    result = {
        "task": {"type": PIPELINE_TAGS.get(task, task or "other")},
        "dataset": {"name": str(report.data.get("source", "")), "type": str(report.data.get("source", ""))},
        "metrics": [{"type": name, "value": scored, "name": f"{name} on {report.score.split}"}],
    }
    matter: dict[str, Any] = {
        "library_name": "onnxruntime" if artifact.format == "onnx" else artifact.format,
        "tags": ["compressor", artifact.format, artifact.precision, *dict.fromkeys(kinds)],
        "model-index": [{"name": name_of(report), "results": [result]}],
    }
    if task in PIPELINE_TAGS:
        matter["pipeline_tag"] = PIPELINE_TAGS[task]
    return matter


def _summary(report: Report, artifact: Artifact) -> str:
    ratios, parts = report.ratios, [f"{artifact.format}, {artifact.precision}"]
    parts += [f"{ratios.size:.3g} times smaller"] if ratios.size else []
    parts += [f"{ratios.latency:.3g} times faster"] if ratios.latency else []
    if ratios.score_drop is not None:
        parts.append(f"{100 * ratios.score_drop:.2f} points of {report.score.name} lost")
    return f"{report.profile.get('summary', '')}: {', '.join(parts)}."


def _rows(report: Report) -> list[tuple[str, str, str]]:
    first, last = report.stages[0], report.stages[-1]

    def pair(name: str, shown: str, before: float | None, after: float | None) -> list[tuple[str, str, str]]:
        return [] if before is None or after is None else [(name, shown.format(before), shown.format(after))]

    latency = last.latency_ms
    timed = (None, None) if latency is None else (latency.reference_p50, latency.p50)
    return [
        *pair(report.score.name, "{:.4f}", first.score, last.score),
        *pair("file, kB", "{:,.1f}", (first.size_bytes or 0) / 1000, (last.size_bytes or 0) / 1000),
        *pair("parameters", "{:,}", first.params, last.params),
        *pair("MACs", "{:,}", first.macs, last.macs),
        *pair("p50, ms, in turns", "{:.4g}", *timed),
    ]


def _settings(settings: dict[str, Any]) -> str:
    shown = {key: settings[key] for key in TOLD if key in settings}
    told = ", ".join(f"{key} = {json.dumps(value)}" for key, value in shown.items() if value is not None)
    return told or str(settings.get("kind", ""))


def _text(text: str) -> str:
    """On one line, with nothing that Markdown or HTML would take for its own."""
    kept = " ".join(text.split())
    for char, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "'")):
        kept = kept.replace(char, written)
    return kept
