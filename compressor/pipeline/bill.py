"""A run's last file as a CycloneDX 1.6 bill of materials: "machine-learning-model" and what it was made of.

https://cyclonedx.org/docs/1.6/json/
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from compressor.report import Artifact, Report, name_of

SHA256_LENGTH = 64


def bill_of(report: Report) -> dict[str, Any]:
    """The bill of materials as JSON values."""
    artifact = report.artifacts[-1]
    reference = str(report.model.get("sha256") or "")
    parts = [_component(report, artifact), _data(report), *_teachers(report), *_packages(report)]
    origin: dict[str, Any] = {"bom-ref": "reference", "type": "machine-learning-model"}
    origin["name"] = str(report.model.get("source") or "reference")
    if len(reference) == SHA256_LENGTH:
        origin["hashes"] = [{"alg": "SHA-256", "content": reference}]
    made_of = ["reference", "data", *(part["bom-ref"] for part in _teachers(report))]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, artifact.sha256)}",
        "version": 1,
        "metadata": {"component": parts[0], "tools": {"components": [_tool()]}},
        "components": [origin, *parts[1:]],
        "dependencies": [{"ref": "model", "dependsOn": made_of}],
    }


def _component(report: Report, artifact: Artifact) -> dict[str, Any]:
    score = report.stages[-1].score
    measured = [] if score is None else [score]
    metrics = [{"type": report.score.name, "value": f"{one:.6f}", "slice": report.score.split} for one in measured]
    return {
        "bom-ref": "model",
        "type": "machine-learning-model",
        "name": name_of(report),
        "version": artifact.sha256[:12],
        "hashes": [{"alg": "SHA-256", "content": artifact.sha256}],
        "modelCard": {
            "modelParameters": {"task": str(report.model.get("task") or ""), "datasets": [{"ref": "data"}]},
            "quantitativeAnalysis": {"performanceMetrics": metrics},
        },
        "properties": [
            {"name": "compressor:precision", "value": artifact.precision},
            {"name": "compressor:size_bytes", "value": str(artifact.size_bytes)},
            {"name": "compressor:seed", "value": str(report.seed)},
        ],
    }


def _data(report: Report) -> dict[str, Any]:
    counts = report.data.get("counts", {})
    described = ", ".join(f"{count} {split}" for split, count in counts.items())
    name = str(report.data.get("source") or "data")
    contents = {"properties": [{"name": "fingerprint", "value": str(report.data.get("fingerprint", ""))}]}
    return {
        "bom-ref": "data",
        "type": "data",
        "name": name,
        "data": [{"type": "dataset", "name": name, "description": described, "contents": contents}],
    }


def _teachers(report: Report) -> list[dict[str, Any]]:
    return [
        {
            "bom-ref": f"teacher-{place}",
            "type": "machine-learning-model",
            "name": str(teacher.get("source") or f"teacher {place}"),
            "hashes": [{"alg": "SHA-256", "content": str(teacher["sha256"])}],
        }
        for place, teacher in enumerate(report.teachers, 1)
        if len(str(teacher.get("sha256", ""))) == SHA256_LENGTH
    ]


def _packages(report: Report) -> list[dict[str, Any]]:
    return [
        {"bom-ref": purl, "type": "library", "name": name, "version": found, "purl": purl}
        for name, found in report.environment.get("packages", {}).items()
        if name != "compressor" and (purl := f"pkg:pypi/{name}@{found}")
    ]


def _tool() -> dict[str, Any]:
    try:
        found = version("compressor")
    except PackageNotFoundError:
        found = "unknown"
    return {"type": "application", "name": "compressor", "version": found}
