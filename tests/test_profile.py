"""Profiles: merging, overrides, and every fault at once."""

from pathlib import Path
from typing import ClassVar, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from compressor import registry
from compressor.errors import ProfileError
from compressor.models import OnnxModel, QuantizedModel, TorchModel
from compressor.profile import chain_faults, load_profile
from compressor.stage import Stage, StageResult

GOOD = """
summary = "a test"
[target]
runtime = "onnxruntime"
[budget]
size_mb = 4
[[stage]]
kind = "shrink"
ratio = 0.5
[[stage]]
kind = "write"
"""


class Limits(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    one_of: ClassVar[tuple[str, ...]] = ("macs", "size")
    macs: float | None = None
    size: float | None = None


class Lesson(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    epochs: int = Field(default=10, ge=1)


class Shrink(Stage):
    kind: ClassVar[str] = "shrink"
    accepts: ClassVar[tuple[type, ...]] = (TorchModel,)
    produces: ClassVar[type] = TorchModel
    one_of: ClassVar[tuple[str, ...]] = ("ratio", "budget")
    ratio: float | None = Field(default=None, gt=0, lt=1)
    budget: Limits | None = None
    order: Literal["magnitude", "random"] = "magnitude"
    train: Lesson = Lesson()

    def run(self, model: TorchModel, ctx: object) -> StageResult:
        return StageResult(model)


class Write(Stage):
    kind: ClassVar[str] = "write"
    accepts: ClassVar[tuple[type, ...]] = (TorchModel, QuantizedModel)
    produces: ClassVar[type] = OnnxModel

    def run(self, model: TorchModel, ctx: object) -> StageResult:
        return StageResult(model)


@pytest.fixture(autouse=True)
def stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stages of this file's own, so that its faults don't move with the real settings."""
    monkeypatch.setattr(registry, "BUILT_IN", {s.kind: f"{__name__}:{s.__name__}" for s in (Shrink, Write)})
    classes = {"shrink": Shrink, "write": Write}
    real = registry.stage_class
    monkeypatch.setattr(registry, "stage_class", lambda kind: classes.get(kind) or real(kind))


def write(folder: Path, text: str, name: str = "mine.toml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def faults(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(ProfileError) as caught:
        load_profile(write(folder, text), overrides)
    return caught.value.message


def test_reads_a_profile(tmp_path: Path) -> None:
    profile = load_profile(write(tmp_path, GOOD))
    assert (profile.name, profile.summary) == ("mine", "a test")
    assert profile.target.runtime == "onnxruntime"
    assert profile.budget.size_mb == 4
    assert profile.stages == (Shrink(ratio=0.5), Write())


def test_extends_merges_tables_key_by_key_and_replaces_stages(tmp_path: Path) -> None:
    write(tmp_path, GOOD + "", "base.toml")
    child = 'extends = "base.toml"\n[target]\nthreads = 2\n[budget]\nscore_drop = 0.01\n'
    profile = load_profile(write(tmp_path, child))
    assert (profile.target.runtime, profile.target.threads) == ("onnxruntime", 2)
    assert (profile.budget.size_mb, profile.budget.score_drop) == (4, 0.01)
    assert len(profile.stages) == 2 and profile.summary == "a test"
    replaced = load_profile(write(tmp_path, child + '[[stage]]\nkind = "write"\n'))
    assert replaced.stages == (Write(),)


def test_extends_one_level_only(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "base.toml")
    write(tmp_path, 'extends = "base.toml"\n', "middle.toml")
    message = faults(tmp_path, 'extends = "middle.toml"\n[target]\nruntime="onnxruntime"\n')
    assert "only one level" in message


def test_lists_all_faults_at_once_with_guesses(tmp_path: Path) -> None:
    bad = """
sumary = "x"
[target]
runtime = "onnxruntim"
channel_multiple = 0
[budget]
sizemb = 4
[[stage]]
kind = "shrnk"
[[stage]]
kind = "shrink"
ratio = 1.5
order = "magnitud"
[stage.train]
epoch = 3
"""
    message = faults(tmp_path, bad)
    for part in (
        "no key 'sumary' at the top level; did you mean 'summary'?",
        "[target]: runtime: got 'onnxruntim', wanted 'onnxruntime' or 'tensorrt'; did you mean 'onnxruntime'?",
        "[target]: channel_multiple: got 0, wanted greater than or equal to 1",
        "[budget]: no setting 'sizemb'; did you mean 'size_mb'?",
        "stage 1: no stage 'shrnk'; did you mean 'shrink'?",
        "stage 2 (shrink): ratio: got 1.5, wanted less than 1",
        "stage 2 (shrink): order: got 'magnitud', wanted 'magnitude' or 'random'; did you mean 'magnitude'?",
        "stage 2 (shrink): no setting 'train.epoch'; did you mean 'epochs'?",
    ):
        assert part in message
    assert "has 8 faults" in message


def test_missing_parts_are_faults(tmp_path: Path) -> None:
    message = faults(tmp_path, "[[stage]]\nratio = 0.5\n")
    assert "[target]: runtime: missing" in message
    assert "stage 1: no kind" in message
    assert "no [[stage]]" in faults(tmp_path, '[target]\nruntime = "onnxruntime"\n')


@pytest.mark.parametrize("text", ["[target", "\x00", 'target = 3\nstage = "x"\nbudget = []'])
def test_what_is_no_profile_is_refused(tmp_path: Path, text: str) -> None:
    faults(tmp_path, text)


def test_unknown_profile_is_guessed() -> None:
    with pytest.raises(ProfileError, match="did you mean 'mobile-cpu'"):
        load_profile("mobil-cpu")


def test_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    profile = load_profile(
        path, ["shrink.order=random", "shrink.train.epochs=3", "budget.size_mb=2", "target.threads=2"]
    )
    assert profile.stages[0] == Shrink(ratio=0.5, order="random", train=Lesson(epochs=3))
    assert (profile.budget.size_mb, profile.target.threads) == (2, 2)
    assert profile.overrides[0] == "shrink.order=random"


def test_override_of_one_alternative_replaces_the_other(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert load_profile(path, ["shrink.budget={macs=0.3}"]).stages[0] == Shrink(budget=Limits(macs=0.3))
    budgeted = write(tmp_path, GOOD.replace("ratio = 0.5", "budget = { macs = 0.3 }"))
    assert load_profile(budgeted, ["shrink.ratio=0.4"]).stages[0] == Shrink(ratio=0.4)
    assert load_profile(budgeted, ["shrink.budget.size=0.1"]).stages[0] == Shrink(budget=Limits(size=0.1))


def test_override_of_a_kind_that_occurs_twice(tmp_path: Path) -> None:
    twice = GOOD + '[[stage]]\nkind = "shrink"\n'
    profile = load_profile(write(tmp_path, twice), ["shrink#2.ratio=0.25"])
    assert [getattr(stage, "ratio", None) for stage in profile.stages] == [0.5, None, 0.25]
    assert "say shrink#1 or shrink#2" in faults(tmp_path, twice, "shrink.ratio=0.25")


def test_faults_of_overrides_are_listed_with_the_rest(tmp_path: Path) -> None:
    message = faults(tmp_path, GOOD, "shrnk.ratio=0.5", "shrink.ration=0.5", "budget=3", "nothing", "target.threads=x")
    assert "--set shrnk.ratio=0.5: the profile has no 'shrnk'; did you mean 'shrink'?" in message
    assert "no setting 'ration'; did you mean 'ratio'?" in message
    assert "--set budget=3: wanted TABLE.KEY=VALUE" in message
    assert "got 'nothing', wanted KEY=VALUE" in message
    assert "[target]: threads: got 'x', wanted a valid integer" in message


def test_chain_faults(tmp_path: Path) -> None:
    assert chain_faults(load_profile(write(tmp_path, GOOD))) == []
    wrong = load_profile(write(tmp_path, GOOD + '[[stage]]\nkind = "shrink"\n'))
    assert chain_faults(wrong) == ["stage 3 (shrink) takes a torch module, but stage 2 (write) gives an ONNX file"]


TEXT = GOOD.replace("ratio = 0.5", "ratio = 0.5\nfor.texts.ratio = 0.25").replace(
    '[[stage]]\nkind = "write"',
    '[[stage]]\nkind = "shrink"\nonly = ["texts"]\norder = "random"\n[[stage]]\nkind = "write"',
)


def test_a_kind_of_input_has_settings_and_stages_of_its_own(tmp_path: Path) -> None:
    profile = load_profile(write(tmp_path, TEXT))
    assert profile.stages == (Shrink(ratio=0.5), Write())
    text = profile.for_inputs("texts")
    assert text.stages == (Shrink(ratio=0.25), Shrink(order="random"), Write())
    assert text.for_inputs("texts") == text and text.target == profile.target
    assert [stage["kind"] for stage in text.as_dict()["stages"]] == ["shrink", "shrink", "write"]
    assert profile.for_inputs("images").stages == profile.stages
    plain = load_profile(write(tmp_path, GOOD, "plain.toml"))
    assert plain.for_inputs("texts") == plain


def test_settings_for_a_kind_of_input_replace_alternatives_of_those_for_all(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("ratio = 0.5", "ratio = 0.5\nfor.texts.budget = { macs = 0.3 }"))
    assert load_profile(path).for_inputs("texts").stages[0] == Shrink(budget=Limits(macs=0.3))


def test_an_override_reaches_every_list_that_has_its_stage(tmp_path: Path) -> None:
    profile = load_profile(
        write(tmp_path, GOOD.replace("ratio = 0.5", "ratio = 0.5\nfor.texts.train = { epochs = 7 }")),
        ["shrink.order=random", "shrink.train.epochs=3"],
    )
    same = Shrink(ratio=0.5, order="random", train=Lesson(epochs=3))
    assert profile.stages[0] == same and profile.for_inputs("texts").stages[0] == same
    twice = load_profile(write(tmp_path, TEXT), ["shrink#2.ratio=0.75", "shrink.ratio=0.4"])
    assert twice.for_inputs("texts").stages[1] == Shrink(ratio=0.75, order="random")
    assert twice.stages[0] == Shrink(ratio=0.4) and twice.for_inputs("texts").stages[0] == Shrink(ratio=0.25)


def test_a_fault_is_said_once_and_of_whom(tmp_path: Path) -> None:
    own = GOOD.replace("ratio = 0.5", "ratio = 0.5\nfor.texts.order = 'rndm'")
    message = faults(tmp_path, own, "shrink.ration=0.5")
    assert "has 2 faults:" in message
    assert "stage 1 (shrink): no setting 'ration'; did you mean 'ratio'?" in message and message.count("ration'") == 1
    assert "stage 1 (shrink): order: got 'rndm'" in message and "(for texts)" in message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('only = ["txts"]', "no kind of input 'txts'; did you mean 'texts'?"),
        ("only = 3", "only: got 3, wanted kinds of input"),
        ("for.voices.ratio = 0.5", "no kind of input 'voices'; wanted one of images"),
        ("for.texts = 3", "wanted settings: for.texts.train"),
        ("for.texts.rato = 0.5", "no setting 'rato'; did you mean 'ratio'? (for texts)"),
        ("for = 3", "for: got 3, wanted settings"),
    ],
)
def test_what_is_no_kind_of_input_is_said(tmp_path: Path, line: str, said: str) -> None:
    assert said in faults(tmp_path, GOOD.replace("ratio = 0.5", f"ratio = 0.5\n{line}"))


def test_a_profile_needs_stages_for_all(tmp_path: Path) -> None:
    alone = '[target]\nruntime="onnxruntime"\n[[stage]]\nkind="write"\nonly=["texts"]\n'
    assert "at least one for all others" in faults(tmp_path, alone)


def test_extending_replaces_the_stages_of_every_kind_of_input(tmp_path: Path) -> None:
    write(tmp_path, TEXT, "base.toml")
    kept = load_profile(write(tmp_path, 'extends = "base.toml"\nsummary = "x"\n'))
    assert len(kept.stages) == 2 and len(kept.for_inputs("texts").stages) == 3
    own = load_profile(write(tmp_path, 'extends = "base.toml"\n[[stage]]\nkind = "write"\n'))
    assert own.stages == own.for_inputs("texts").stages == (Write(),)
