"""``compress doctor`` as it is typed."""

import json

from click.testing import CliRunner

from compressor.cli.main import main


def test_what_is_seen() -> None:
    told = json.loads(CliRunner().invoke(main, ["doctor", "--no-test", "--json", "--device", "cpu"]).stdout)
    assert told["test"] is None
    assert {"python", "torch", "processor", "GPU"} <= {one["name"] for one in told["findings"]}


def test_a_device_that_there_is_not() -> None:
    assert CliRunner().invoke(main, ["doctor", "--no-test", "--device", "nothing"]).exit_code in (2, 4)
