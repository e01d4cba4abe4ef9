"""A report as a run writes it, with every part filled in."""

from typing import Any

from compressor.report import (
    Artifact,
    Baseline,
    BudgetCheck,
    FrontPoint,
    KdComparison,
    Latency,
    Layer,
    Parity,
    Ratios,
    Report,
    ScoreInfo,
    Search,
    Sensitivity,
    StageRecord,
)


def record(name: str, params: int, size: int, score: float, p50: float | None, **more: Any) -> StageRecord:
    latency = Latency(
        p50=p50,
        p90=p50 and p50 * 1.1,
        p99=p50 and p50 * 1.5,
        runs=200,
        runtime="onnxruntime",
        reference_p50=2.8,
        faster_low=p50 and 2.8 / p50 * 0.98,
        faster_high=p50 and 2.8 / p50 * 1.02,
    )
    return StageRecord(
        name=name,
        kind=name[3:],
        seconds=3.0,
        params=params,
        macs=params * 40,
        size_bytes=size,
        score=score,
        score_stderr=0.0025,
        score_drop=0.935 - score,
        score_drop_stderr=0.0011,
        latency_ms=latency,
        **more,
    )


def full_report(**changes: Any) -> Report:
    parity = Parity(max_abs_error=0.2, mean_abs_error=0.01, logit_std=3.0, agreement=0.9975, samples=2000)
    return Report(
        status="budget_missed",
        profile={"name": "mobile-cpu", "summary": "one core", "target": {"runtime": "onnxruntime"}},
        seed=3,
        environment={"python": "3.11.7", "threads": 1, "cpu": {"features": ["avx2", "avx512_vnni"]}},
        command="compress run --profile mobile-cpu 'my model.pt'",
        model={"source": "my model.pt", "sha256": "ab" * 32},
        data={"source": "fashion-mnist", "fingerprint": "cd" * 32},
        score=ScoreInfo(name="accuracy", higher_is_better=True, split="test", count=10000),
        stages=[
            record("00-reference", 11_172_810, 44_800_000, 0.935, 2.8, per_class={"shirt": 0.80, "boot": 0.97}),
            record("01-distill", 2_800_000, 11_200_000, 0.934, 0.9),
            record(
                "02-prune",
                420_000,
                1_700_000,
                0.9312,
                0.4,
                notes=["removed <b>85 %</b> of the channels"],
                metrics={"validation_before": 0.934, "validation_pruned": 0.41, "validation_recovered": 0.9315},
                kd=KdComparison(
                    with_kd=0.9312,
                    without_kd=0.9276,
                    seeds=1,
                    difference=0.0036,
                    stderr=0.0014,
                    verdict="distillation won",
                ),
            ),
            record("03-quantize", 420_000, 450_000, 0.9305, 0.15, per_class={"shirt": 0.76, "boot": 0.975}),
        ],
        artifacts=[
            Artifact(
                path="04-export/model.onnx",
                format="onnx",
                precision="int8",
                size_bytes=450_000,
                sha256="ef" * 32,
                parity=parity,
            )
        ],
        ratios=Ratios(size=99.6, latency=18.7, macs=26.6, params=26.6, score_drop=0.0045),
        budget=[
            BudgetCheck(name="size_mb", limit=0.4, value=0.45, met=False),
            BudgetCheck(name="latency_ms", limit=8.0, value=None, met=None, hint="run the kit on the device"),
        ],
        notes=["the data has no validation split"],
    ).model_copy(update=changes)


def wider_search() -> Search:
    """Of one file, and what it is compared with."""
    made_by, artifact = ["prune 50%, 2 epochs", "export"], "search/export-0/model.onnx"
    figures: dict[str, Any] = {"latency_ms": 0.2, "reference_latency_ms": 2.8, "score_drop_stderr": 0.001}
    known: dict[str, Any] = {"made_by": made_by, "artifact": artifact, "sha256": "ab" * 32, **figures}
    point = FrontPoint(
        name="p07", score=0.93, score_drop=0.004, size_bytes=300_000, precision="int8", epochs=6, meets=True,
        on_front=True, chosen=True, **known,
    )  # fmt: skip
    fixed = Baseline(name="fixed profile", size_bytes=450_000, score_drop=0.003, epochs=8, meets=True, **known)
    drawn = Baseline(name="random search", size_bytes=350_000, score_drop=0.02, epochs=40, meets=False, **known)
    return Search(
        objective="size", goals={"score_drop": 0.01}, split="validation", samples=2000, epochs=40, seconds={},
        front=[point], baselines=[fixed, drawn],
    )  # fmt: skip


def layers(*channels: int, precision: str = "float32", **reasons: dict[str, str]) -> list[Layer]:
    """Convolutions that follow on one another; ``reasons`` are by field and layer."""
    found, given = [], 3
    for place, made in enumerate(channels):
        name = f"layer{place}.conv"
        told = {field: texts.get(name, "") for field, texts in reasons.items()}
        weights = 9 * given * made
        found.append(
            Layer(name=name, kind="Conv2d", channels=made, weights=weights, precision=precision).model_copy(update=told)
        )
        given = made
    return found


def long_report(name: str = "my model", stages: int = 14, wide: int = 300) -> Report:
    """A run of many stages and layers, whose every text that users choose has the name in it.

    Every part of the page is there: search, baselines, sensitivity, curves, control.
    """
    report = full_report(search=wider_search())
    assert report.search is not None
    whole, cut = [64] * wide, [24 + 8 * (place % 5) for place in range(wide)]
    cut[-1] = 64
    kept, in_float = {f"layer{wide - 1}.conv": f"makes the outputs of {name}"}, {"layer3.conv": f"slower: {name}"}
    history = [{"loss": 1 / (epoch + 1), "score": 0.9 + epoch / 100} for epoch in range(4)]
    records = [report.stages[0].model_copy(update={"layers": layers(*whole)})]
    for place in range(1, stages):
        base = report.stages[2 if place == 1 else 1]
        named = f"{place:02d}-{'prune' if place % 2 else 'recover'} {name}"
        given = layers(*cut, kept=kept)
        if place == stages - 1:
            base, given = report.stages[3], layers(*cut, precision="int8", kept=kept, in_float=in_float)
            given[3] = given[3].model_copy(update={"precision": "float32"})
        figures: dict[str, Any] = {"size_bytes": 2_000_000 - 20_000 * place, "score": 0.934 - place / 3000}
        metrics = {**base.metrics, "history": history}
        records.append(base.model_copy(update={"name": named, "layers": given, "metrics": metrics, **figures}))
    measured = [
        Sensitivity(name=one.name, kind=kind, layers=[one.name, name], ratio=ratio, drop=0.001 * place, stderr=0.002)
        for place, one in enumerate(records[0].layers[:12])
        for kind, ratio in (("channels", 0.5), ("precision", None))
    ]
    recalls = {f"{name} {place}": place / 20 for place in range(20)}
    records[0] = records[0].model_copy(update={"per_class": recalls})
    records[-1] = records[-1].model_copy(update={"per_class": {key: 0.9 * value for key, value in recalls.items()}})
    search = report.search.model_copy(update={"sensitivity": measured, "notes": [f"of {name}"]})
    return report.model_copy(
        update={
            "stages": records,
            "search": search,
            "notes": [f"a note of {name}", "x" * 200],
            "model": {**report.model, "source": name},
            "data": {**report.data, "source": name},
            "profile": {**report.profile, "name": name, "summary": name},
            "command": f"compress run '{name}'",
            "environment": {**report.environment, "packages": {"a-name-as-long-as-no-package-has-one" * 2: name}},
            "score": report.score.model_copy(update={"name": f"accuracy of {name}"}),
        }
    )
