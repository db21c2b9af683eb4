from __future__ import annotations

import json

from neumeta_core.assembly import assemble
from neumeta_core.manifest import manifest_of
from neumeta_core.manifold import Manifold
from neumeta_core.spec import Spec

from tests.tiny import with_quality_in


def test_a_manifest_says_what_the_documentation_says(tiny_manifold: Manifold) -> None:
    member = tiny_manifold.configure(0.5)
    artifact = assemble(tiny_manifold, member, tiny_manifold.materialize(member), "fp16")
    spec = Spec.of(tiny_manifold, member, "fp16")
    manifest = manifest_of(tiny_manifold, spec, artifact.digest, len(artifact.data))
    assert json.loads(json.dumps(manifest, allow_nan=False)) == {
        "model": "tiny",
        "version": 1,
        "digest": artifact.digest,
        "size": len(artifact.data),
        "url": f"/v1/artifacts/{artifact.digest}",
        "filename": f"tiny-1-c0.500-fp16-{artifact.digest.removeprefix('sha256:')[:12]}.onnx",
        "spec": spec.as_dict(),
        "spec_digest": spec.digest,
        "compression": {"requested": None, "effective": 0.5},
        "cost": tiny_manifold.cost(member, "fp16").as_dict(),
        "quality": {"metric": "accuracy", "value": 0.8, "kind": "measured", "precision": "fp32"},
        "input": {"name": "input", "shape": [1, 8, 8], "layout": "NCHW", "scale": 1 / 255, "mean": [0.5], "std": [0.25]},
        "output": {"name": "logits"},
        "labels": ["zero", "one", "two"],
        "builder": "3",
    }


def test_quality_is_that_of_the_precision_when_it_was_measured(tiny_manifold: Manifold) -> None:
    manifold = with_quality_in(tiny_manifold, fp16=-0.001, int8=-0.01)
    for precision, value in (("fp32", 0.8), ("fp16", 0.799), ("int8", 0.79)):
        spec = Spec.of(manifold, manifold.configure(0.5), precision)
        quality = manifest_of(manifold, spec, "sha256:" + "0" * 64, 1)["quality"]
        assert quality == {"metric": "accuracy", "value": value, "kind": "measured", "precision": precision}


def test_without_a_curve_nothing_is_promised(patched_manifold: Manifold) -> None:
    spec = Spec.of(patched_manifold, patched_manifold.configure(0.5), "fp32")
    assert manifest_of(patched_manifold, spec, "sha256:" + "0" * 64, 1)["quality"] == {
        "metric": None,
        "value": None,
        "kind": "extrapolated",
        "precision": "fp32",
    }
