"""One change at a time: what is trained again, what is shared, what is recorded."""

import dataclasses
import subprocess
import sys

import pytest
from neumeta_core.inr import Sampling
from neumeta_core.manifold import Manifold
from neumeta_trainer.ablation import AS_IT_IS, ablate, changes_of, variations
from neumeta_trainer.config import Optimization, Recipe
from neumeta_trainer.data import load_digits
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.recipes.digits import digits, digits_paper
from neumeta_trainer.results.record import file_name
from neumeta_trainer.training.progress import LogProgress

PATIENCE = 240


def few_steps() -> Recipe:
    recipe = digits_paper()
    assert recipe.base is not None
    assert recipe.tune is not None

    def shortened(optimization: Optimization) -> Optimization:
        return dataclasses.replace(optimization, steps=20)

    return dataclasses.replace(
        recipe,
        base=dataclasses.replace(recipe.base, optimization=dataclasses.replace(recipe.base.optimization, steps=60)),
        tune=dataclasses.replace(recipe.tune, optimization=shortened(recipe.tune.optimization)),
        curve=(0.0, 0.5),
    )


def untrained() -> Recipe:
    """A base of one step, and an INR as it starts."""
    recipe = digits_paper()
    assert recipe.base is not None
    one, none = Optimization(steps=1, rate=0.05), Optimization(steps=0, rate=0.05)
    base, fit = dataclasses.replace(recipe.base, optimization=one), dataclasses.replace(recipe.fit, optimization=none, calibration=64)
    return dataclasses.replace(recipe, base=base, fit=fit, tune=None, order="none", sampling=Sampling(), curve=(0.0,))


def test_a_variation_trains_what_it_changes_and_shares_the_rest(tmp_path):
    vary = ["sampling.count=1+sampling.integrated=true,4", "tune.reconstruction=100"]
    names = [AS_IT_IS, *variations(vary)]
    commands = {name: f"neumeta train … {name}" for name in names}
    integrated = "sampling.count=1+sampling.integrated=true"
    records = list(ablate(few_steps(), vary, load_digits(), tmp_path, LogProgress(), commands=commands))
    methods = ["mlp", "mlp sampling.count=1, sampling.integrated=true", "mlp sampling.count=4", "mlp tune.reconstruction=100"]
    assert [record.method for record in records] == methods
    assert [record.command for record in records] == list(commands.values())

    trained = {name: {path.name: path.read_bytes() for path in (tmp_path / name / "checkpoints").iterdir()} for name in names}
    assert trained[AS_IT_IS].keys() == {"base.pt", "fit.pt", "tune.pt"}
    assert trained[integrated]["tune.pt"] == trained[AS_IT_IS]["tune.pt"]
    assert trained["tune.reconstruction=100"].keys() == {"fit.pt", "tune.pt"}
    assert trained["tune.reconstruction=100"]["tune.pt"] != trained[AS_IT_IS]["tune.pt"]
    assert Manifold.load(tmp_path / "sampling.count=4" / "manifold.safetensors").header.sampling.count == 4
    assert Manifold.load(tmp_path / integrated / "manifold.safetensors").header.sampling.integrated


def test_a_variation_that_collapses_is_told_and_the_others_go_on(tmp_path, caplog):
    vary = ["fit.optimization.steps=1", "sampling.count=1"]
    names = [AS_IT_IS, *variations(vary)]
    records = list(ablate(few_steps(), vary, load_digits(), tmp_path, LogProgress(), commands=dict.fromkeys(names, "")))
    assert [record.method for record in records] == ["mlp", "mlp sampling.count=1"]
    assert "fit.optimization.steps=1 collapsed: " in caplog.text


def test_a_recipe_that_cannot_be_is_refused_before_another_one_is_trained(tmp_path):
    vary = ["sampling.count=1", "fit.target_calibration=256"]
    with pytest.raises(RecipeRefused, match=r"fit\.target_calibration: only row scales take it"):
        list(ablate(few_steps(), vary, load_digits(), tmp_path, LogProgress(), commands={}))
    assert list(tmp_path.iterdir()) == []


def test_other_images_and_other_seeds_share_nothing_and_a_seed_is_no_other_method(tmp_path):
    recipe = untrained()
    family = 'family={"optimization":{"steps":1,"rate":0.05}}'
    vary = ["validation=0.2", "seed=1", family]
    records = list(ablate(recipe, vary, load_digits(), tmp_path, LogProgress(), commands=dict.fromkeys([AS_IT_IS, *vary], "")))
    assert [record.method for record in records] == ["mlp", "mlp validation=0.2", "mlp", f"mlp {family}"]
    assert [record.seed for record in records] == [0, 0, 1, 0]
    assert [record.samples for record in records] == [120, 287, 120, 120]
    trained = {name: {path.name for path in (tmp_path / file_name(name) / "checkpoints").iterdir()} for name in (AS_IT_IS, *vary)}
    assert trained == {AS_IT_IS: {"base.pt"}, "validation=0.2": {"base.pt"}, "seed=1": {"base.pt"}, family: {"base.pt", "family.pt"}}


@pytest.mark.parametrize("vary", ["order", "=3", "order=smooth,,none", "oder=none", "tune.reconstruction=much"])
def test_what_cannot_be_varied_is_refused_before_anything_is_trained(tmp_path, vary):
    with pytest.raises(RecipeRefused, match=vary.partition(",")[0]):
        list(ablate(few_steps(), [vary], load_digits(), tmp_path, LogProgress(), commands={}))
    assert list(tmp_path.iterdir()) == []


def test_a_value_in_brackets_is_one_value():
    assert variations(["a=[],[0.75,0.5],none", "b=[[1,2],[3,4]]+c=1,2"]) == ["a=[]", "a=[0.75,0.5]", "a=none", "b=[[1,2],[3,4]]+c=1", "b=2"]


def test_the_sign_of_an_exponent_joins_nothing():
    assert changes_of("a.b=1e+0+c_d=[1e+3]+e=x") == ["a.b=1e+0", "c_d=[1e+3]", "e=x"]


def test_a_variation_may_be_longer_than_a_folder_s_name(tmp_path):
    longest, exponent = "+".join(f"canaries={count}" for count in range(3, 33)), "base.optimization.rate=5e+1"
    commands = dict.fromkeys([AS_IT_IS, longest, exponent], "")
    records = list(ablate(untrained(), [longest, exponent], load_digits(), tmp_path, LogProgress(), commands=commands))
    assert [record.method for record in records] == ["mlp", f"mlp {longest.replace('+', ', ')}", f"mlp {exponent}"]
    (made,) = tmp_path.glob("canaries=*/manifold.safetensors")
    assert len(Manifold.load(made).canary.labels) == 32


def test_a_folder_that_cannot_be_made_is_noticed_before_anything_is_trained(tmp_path):
    (tmp_path / "seed=1").touch()
    with pytest.raises(FileExistsError):
        list(ablate(untrained(), ["seed=1"], load_digits(), tmp_path, LogProgress(), commands={}))
    assert not list(tmp_path.rglob("*.pt"))


def test_two_processes_share_what_a_variation_leaves_alone(tmp_path):
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    few = ["base.optimization.steps=60", "tune.optimization.steps=20", "curve=[0,0.5]"]
    recipe = ["digits-paper", "--device", "cpu", "--vary", "sampling.count=1", *(word for change in few for word in ("--set", change))]
    command = [*start, "-m", "neumeta_trainer", "ablate", *recipe, "--out", str(tmp_path / "out"), "--records", str(tmp_path / "records")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(", sampling.count=1\n") == 1
    assert len(list((tmp_path / "records").rglob("*.json"))) == 2
    one, other = (tmp_path / "out" / name / "checkpoints" / "tune.pt" for name in (AS_IT_IS, "sampling.count=1"))
    assert one.read_bytes() == other.read_bytes()


def test_a_variation_of_the_family_trains_a_family_of_its_own(tmp_path):
    recipe = digits()
    assert recipe.family is not None
    family = dataclasses.replace(recipe.family, optimization=dataclasses.replace(recipe.family.optimization, steps=30))
    fit = dataclasses.replace(recipe.fit, optimization=dataclasses.replace(recipe.fit.optimization, steps=30), targets=2)
    recipe = dataclasses.replace(recipe, family=family, fit=fit, tune=None, curve=(0.0,))
    vary = ["family.members=1", "inr.rank=1"]
    commands = dict.fromkeys([AS_IT_IS, *vary], "")
    assert len(list(ablate(recipe, vary, load_digits(), tmp_path, LogProgress(), commands=commands))) == 3
    trained = {name: {path.name for path in (tmp_path / name / "checkpoints").iterdir()} for name in commands}
    assert trained == {AS_IT_IS: {"family.pt", "fit.pt"}, "family.members=1": {"family.pt", "fit.pt"}, "inr.rank=1": {"fit.pt"}}
