"""Who gets which arm, for how long, and which files are refused."""

from __future__ import annotations

import collections
import pathlib
import types
from collections.abc import Mapping

import pytest

from homefeed.serving.experiments.assignment import Unit, assign
from homefeed.serving.experiments.bucketing import bucket
from homefeed.serving.experiments.design import Experiments, read_experiments
from homefeed.serving.policy.rules import PolicyError
from homefeed.serving.policy.surfaces import HOME, Surface, Surfaces

NOW = 1_800_000_000
TWO = "arms: {control: {}, more: {surface: {diversity: {max_loss: 0.2}, length: 9}}}"


def read(text: str, folder: pathlib.Path) -> Experiments:
    path = folder / "experiments.yaml"
    path.write_text(text)
    return read_experiments(path)


def arms(
    experiments: Experiments,
    user: str,
    surface: str = HOME,
    session: str = "",
    stored: Mapping[str, str] = types.MappingProxyType({}),
) -> dict[str, str]:
    return dict(assign(experiments, Unit(user, session), surface, stored, {}, NOW).arms)


def test_an_arm_changes_what_it_names_and_nothing_else(tmp_path: pathlib.Path) -> None:
    experiments = read(f"x: {{{TWO}, surfaces: [home]}}", tmp_path)
    surface = Surface(rows=("for_you", "new"), length=4, rotation=3)
    found = {}
    for n in range(20):
        one = assign(experiments, Unit(f"u{n}", ""), HOME, {}, {}, NOW)
        found[one.arms["x"]] = one.on(surface)
        assert one.fresh == {"x__0": one.arms["x"]} and one.label == "stable"
    assert found["control"] is surface
    assert found["more"].length == 9 and found["more"].diversity.max_loss == 0.2
    assert found["more"].rows == surface.rows and found["more"].rotation == 3
    assert arms(experiments, "u1", "search") == {}


def test_who_was_exposed_stays_when_weights_coverage_and_parts_change(tmp_path: pathlib.Path) -> None:
    before = read("x: {arms: {a: {}, b: {model: canary}}}", tmp_path)
    stored = {f"u{n}": {"x__0": arms(before, f"u{n}")["x"]} for n in range(200)}
    after = "x: {arms: {a: {weight: 9}, b: {model: canary}}, coverage: 0.1, layer: l, part: [0, 0.2]VERSION}"
    kept = read(after.replace("VERSION", ""), tmp_path)
    assert all(arms(kept, user, stored=mine)["x"] == mine["x__0"] for user, mine in stored.items())
    new = collections.Counter(arms(kept, f"new{n}").get("x") for n in range(4_000))
    assert new[None] > 3_800 and new["a"] > 3 * new["b"]
    anew = read(after.replace("VERSION", ", version: 1"), tmp_path)
    assert sum("x" in arms(anew, user, stored=mine) for user, mine in stored.items()) < 20
    out = read("x: {arms: {a: {}, b: {model: canary}}, version: 1, min_version: 1}", tmp_path)
    assert arms(out, "u1", stored=stored["u1"]) == {} and arms(out, "new")
    renamed = read("x: {arms: {a: {}, c: {model: canary}}}", tmp_path)
    assert {arms(renamed, user, stored=mine)["x"] for user, mine in stored.items()} == {"a", "c"}


def test_a_layer_gives_nobody_two_of_its_experiments(tmp_path: pathlib.Path) -> None:
    experiments = read(
        f"x: {{{TWO}, layer: l, part: [0, 0.5]}}\ny: {{{TWO}, layer: l, part: [0.5, 1]}}\n"
        "z: {arms: {a: {}, b: {model: canary}}}",
        tmp_path,
    )
    experiments.require_surfaces(Surfaces(), [])
    both = collections.Counter(tuple(sorted(arms(experiments, f"u{n}"))) for n in range(1_000))
    assert both.keys() == {("x", "z"), ("y", "z")} and min(both.values()) > 400
    given = [arms(experiments, f"u{n}") for n in range(2_000)]
    pairs = collections.Counter((one.get("x"), one["z"]) for one in given)
    assert min(pairs[arm, other] for arm in ("control", "more") for other in "ab") > 180, "z is drawn by itself"


def test_nobody_can_tell_the_arm_of_an_id_that_they_choose(tmp_path: pathlib.Path) -> None:
    """Without a seed the buckets are those of a store's secret; with one, those of whoever knows it."""
    experiments = read("x: {arms: {a: {}, b: {model: canary}}}", tmp_path)
    seeded = read("x: {arms: {a: {}, b: {model: canary}}, seed: s}", tmp_path)

    def arm(experiments: Experiments, session: str, secret: bytes) -> str:
        return assign(experiments, Unit("", session), HOME, {}, {}, NOW, secret).arms["x"]

    chosen = [f"s{n}" for n in range(20_000) if bucket("x", f"s{n}") < 0.5][:4_000]
    for secret in (b"one", b"two"):
        found = [arm(experiments, session, secret) for session in chosen]
        assert found == [arm(experiments, session, secret) for session in chosen]
        assert 0.47 < found.count("a") / len(found) < 0.53, "they were chosen for a"
    assert [arm(experiments, s, b"one") for s in chosen] != [arm(experiments, s, b"two") for s in chosen]
    assert all(arm(seeded, s, b"one") == ("a" if bucket("s", s) < 0.5 else "b") for s in chosen)


def test_units_and_times(tmp_path: pathlib.Path) -> None:
    experiments = read(
        f"""
u: {{{TWO}, unit: user}}
s: {{arms: {{a: {{}}, b: {{model: canary}}}}, unit: session}}
v: {{arms: {{a: {{}}, b: {{surface: {{rotation: 3}}}}}}}}
past: {{{TWO}, until: 2020-01-01}}
later: {{{TWO}, since: 2100-01-01}}
""",
        tmp_path,
    )
    assert arms(experiments, "u1").keys() == {"u", "v"}
    assert arms(experiments, "", session="s1").keys() == {"s", "v"}


def test_a_stopped_experiment_gives_everybody_one_arm_and_counts_nobody(tmp_path: pathlib.Path) -> None:
    experiments = read(f"x: {{{TWO}, coverage: 0.1}}", tmp_path)
    one = assign(experiments, Unit("u", ""), HOME, {"x__0": "control"}, {"x__0": "more"}, NOW)
    assert not one.arms and not one.fresh and one.changes["length"] == 9
    assert not assign(experiments, Unit("u", ""), HOME, {}, {"x__0": "control"}, NOW).changes
    assert not assign(experiments, Unit("u", ""), HOME, {}, {"x__0": "gone"}, NOW).changes


def test_an_interleaved_page_keeps_the_order_of_the_draft(tmp_path: pathlib.Path) -> None:
    experiments = read("x: {interleave: [stable, canary]}", tmp_path)
    one = assign(experiments, Unit("u", ""), HOME, {}, {}, NOW)
    assert one.interleave == ("stable", "canary") and one.arms == {"x": "interleaved"}
    assert one.on(Surfaces().get(HOME)).diversity is None
    assert experiments.labels == {"stable", "canary"}


WRONG = {
    "x: 3": "expected a mapping",
    "x: {arms: {a: {}}}": "two or more `arms`",
    "x: {interleave: [canary, canary]}": "two labels",
    "x: {arms: {a: {weight: 0}, b: {}}}": "arms.a.weight`: expected a number above 0",
    "x: {arms: {a: {}, b: {modle: canary}}}": "did you mean 'model'",
    "x: {arms: {a: {}, b: {surface: {diversity: {max_los: 1}}}}}": "did you mean 'max_loss'",
    "x: {arms: {a: {}, b: {}}, metric: clicks}": "one of click_rate",
    "x: {arms: {a: {}, b: {}}, guardrails: {clicks: 0}}": "one of click_rate",
    "x: {arms: {a: {}, b: {}}, since: 2024-01-02, until: 2024-01-01}": "`since` is not before",
    "x: {arms: {a: {}, b: {}}, part: [0.5, 0.1]}": "from the smaller number",
    "x: {arms: {a: {}, b: {}}, version: 1, min_version: 2}": "`min_version` 2 is above `version` 1",
    "x: {arms: {a: {}, b: {}}, surfaces: []}": "x: `surfaces`: expected a list",
    'x: {arms: {a: {}, "b\\n": {}}}': "x: `arms`: expected 1 to 64 characters that can be printed, found",
    '"\\ud800": {arms: {a: {}, b: {}}}': r"the name '\ud800': expected 1 to 64 characters that can be printed",
    '"": {arms: {a: {}, b: {}}}': "the name '': expected 1 to 64",
    f"{'x' * 65}: {{arms: {{a: {{}}, b: {{}}}}}}": "xx': expected 1 to 64",
    "\n".join(f"x{n}: {{arms: {{a: {{}}, b: {{}}}}}}" for n in range(201)): "has 201 names; expected at most 200",
    "x: {arms: {a: {}, b: {}}, surfaces: [hom]}": "x: there is no surface 'hom'; did you mean 'home'",
    "x: {arms: {a: {}, b: {surface: {rules: [none]}}}}": "x: b: there is no rule 'none'",
    "x: {arms: {a: {}, b: {surface: {mix: {trending: {hot: 1}}}}}, surfaces: [home]}": "x: b on home: mix: trending",
    f"x: {{{TWO}}}\ny: {{{TWO}}}": "x and y both change diversity, length on home",
    f"x: {{{TWO}, layer: l}}\ny: {{{TWO}, layer: l}}": "x and y overlap in the layer l",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_is_refused_in_one_line(text: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(PolicyError) as fault:
        read(text, tmp_path).require_surfaces(Surfaces(), [])
    assert WRONG[text] in str(fault.value) and "\n" not in str(fault.value)


def test_experiments_at_other_times_or_on_other_pages_may_change_the_same(tmp_path: pathlib.Path) -> None:
    for more in ("until: 2024-01-01}\ny: {since: 2024-01-01,", "surfaces: [home]}\ny: {surfaces: [search],"):
        read(f"x: {{{TWO}, {more} {TWO}}}", tmp_path).require_surfaces(Surfaces(), [])
