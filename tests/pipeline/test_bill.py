"""The bill of materials, by CycloneDX's own schema."""

import json

import reports
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from compressor.pipeline.bill import bill_of


def test_it_is_one() -> None:
    report = reports.full_report()
    report = report.model_copy(
        update={
            "model": {"source": "model.pt", "sha256": "a" * 64, "task": "image-classification"},
            "teachers": [{"source": "teacher.pt", "sha256": "b" * 64, "weight": 1.0}, {"source": "", "weight": 1.0}],
            "environment": {"packages": {"torch": "2.14.1", "compressor": "0.1.0"}},
            "artifacts": [report.artifacts[-1].model_copy(update={"sha256": "c" * 64})],
        }
    )
    bill = bill_of(report)
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill))
    assert fault is None, fault
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": "c" * 64}]
    named = {part["bom-ref"] for part in bill["components"]}
    assert {"reference", "data", "teacher-1", "pkg:pypi/torch@2.14.1"} == named
    assert set(bill["dependencies"][0]["dependsOn"]) <= named
