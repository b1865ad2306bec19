"""Intervals over people, differences, slopes and correlations, on columns made by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from train.eval.irises import CORNERS, offsets, widths_px
from train.eval.over_people import (
    chosen,
    correlation_of,
    mean_of,
    measured,
    median_of,
    people_drawn,
    section,
    slope_of,
    spread_of,
    table_of,
    write_report,
)

PEOPLE, EACH = 60, 4


@pytest.fixture(scope="module")
def table():
    """Said pitch is 0.8 of the true one and 0.3 of the head's, and 2 too high; people differ."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(PEOPLE), EACH)
    true, head = rng.uniform(-30, 30, (2, PEOPLE * EACH))
    own = rng.normal(0, 3, PEOPLE)[person]
    return {
        "person": person,
        "true": true,
        "head": head,
        "said": 0.8 * true + 0.3 * head + 2.0,
        "own": own,
        "gap": np.where(person < 30, np.nan, own),
    }


def test_people_are_drawn_with_all_of_their_rows(table):
    drawn = list(people_drawn(table["person"], draws=20))
    assert len(drawn) == 20
    for rows in drawn:
        assert len(rows) == PEOPLE * EACH
        counts = np.bincount(table["person"][rows], minlength=PEOPLE)
        assert set(counts % EACH) == {0}
        assert counts.max() > EACH
    mixed = np.array(["b", "a", "b"])
    drawn_of_two = {tuple(sorted(rows.tolist())) for rows in people_drawn(mixed, draws=50)}
    assert drawn_of_two == {(1, 1), (0, 1, 2), (0, 0, 2, 2)}


def test_slopes_and_what_is_held_fixed(table):
    assert slope_of("said", "true", given=["head"])(table) == pytest.approx(0.8)
    assert slope_of("said", "head", given=["true"])(table) == pytest.approx(0.3)
    assert slope_of("said", "true")(table) != pytest.approx(0.8, abs=1e-6)
    bent = table | {"said": np.where(np.abs(table["true"]) > 20, 0.5, 1.0) * table["true"]}
    inside = chosen(bent, np.abs(bent["true"]) < 20)
    assert slope_of("said", "true", beyond=20)(bent) == pytest.approx(0.5)
    assert slope_of("said", "true")(inside) == pytest.approx(1.0)
    assert np.isnan(slope_of("said", "true", beyond=20)(inside))


def test_correlations_and_what_is_held_fixed(table):
    assert correlation_of("said", "true", given=["head"])(table) == pytest.approx(1.0)
    plain = np.corrcoef(table["said"], table["true"])[0, 1]
    assert correlation_of("said", "true")(table) == pytest.approx(plain)
    assert np.isnan(correlation_of("said", "level")(table | {"level": np.ones(PEOPLE * EACH)}))


def test_what_is_no_number_is_left_out(table):
    kept = table["own"][table["person"] >= 30]
    assert mean_of("gap")(table) == pytest.approx(kept.mean())
    assert median_of("gap")(table) == pytest.approx(np.median(kept))
    assert spread_of("gap")(table) == pytest.approx(kept.std(ddof=1))
    assert np.isnan(mean_of("gap")(chosen(table, table["person"] < 30)))
    assert np.isnan(spread_of("gap")({"gap": np.array([1.0, 2.0])}))


def test_the_interval_is_that_of_people_and_not_of_pictures(table):
    """A mean over people who differ by 3 has a standard error of 3 / sqrt(60)."""
    (figure,) = measured(table, {"mean": mean_of("own")}).values()
    own = table["own"][::EACH]
    wanted = 2 * 1.96 * own.std(ddof=1) / np.sqrt(PEOPLE)
    assert figure.value.high - figure.value.low == pytest.approx(wanted, rel=0.12)
    assert figure.value.low < figure.value.value < figure.value.high
    assert figure.against is None


def test_a_pair_is_compared_on_the_same_people(table):
    """Two networks with the same person's error: the difference is sure, the figures are not."""
    better = table | {"own": table["own"] - 1.0}
    (pair,) = measured(table, {"mean": mean_of("own")}, against=better).values()
    assert pair.difference is not None
    assert pair.difference == pytest.approx((1.0, 1.0, 1.0))
    assert pair.value.high - pair.value.low > 1.0
    plain = pair.plain()
    assert plain["difference"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert plain["ratio"] == {"value": None, "low": None, "high": None}  # a mean may be below 0
    half = table | {"own": 5.0 + np.abs(table["own"])}
    whole = half | {"own": 2 * half["own"]}
    (pair,) = measured(half, {"mean": mean_of("own")}, against=whole).values()
    assert pair.ratio == pytest.approx((0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match="same people"):
        measured(table, {}, against=better | {"person": table["person"][::-1]})


def test_a_section_leaves_out_what_one_network_missed(capsys, tmp_path):
    rows = [
        {"person": str(k), "missed": 0.0, "look": "ab"[k % 2], "angle": float(k)} for k in range(20)
    ]
    other = [row | {"missed": float(k == 19), "angle": 1.0} for k, row in enumerate(rows)]
    told = section("faces", [rows, other], {"mean": mean_of("angle")}, by="look", draws=50)
    assert told["missed_share"]["figures"]["missed_share"]["against"]["value"] == 0.05
    assert (told["all"]["rows"], told["a"]["rows"], told["b"]["rows"]) == (19, 10, 9)
    assert told["all"]["figures"]["mean"]["value"] == 9.0
    assert told["all"]["figures"]["mean"]["difference"]["value"] == 8.0
    printed = capsys.readouterr().out
    assert "faces\n  missed_share: 20 of 20 people\n" in printed
    assert "against 1.000 [1.000, 1.000]  difference 8.000 [" in printed
    write_report(tmp_path / "x.json", {"faces": told}, [None, tmp_path / "old"])
    written = json.loads((tmp_path / "x.json").read_text())
    assert written["networks"] == {"model": "bundled", "against": str(tmp_path / "old")}
    assert written["faces"]["all"]["people"] == 19
    write_report(None, {}, [None])
    assert section("faces", [[row | {"missed": 1.0} for row in rows]], {}) == {}
    assert section("faces", [[], []], {}) == {}
    assert "no face, or none that was found: 20 rows" in capsys.readouterr().out


def test_rows_become_columns():
    assert table_of([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}])["b"].tolist() == ["x", "y"]


def test_offsets_are_along_and_across_the_eye():
    corners = np.array([[[10.0, 10.0], [30.0, 10.0]], [[50.0, 10.0], [70.0, 10.0]]])
    irises = np.array([[25.0, 12.0], [60.0, 8.0]])
    np.testing.assert_allclose(offsets(corners, irises), [[0.25, 0.1], [0.0, -0.1]])
    np.testing.assert_allclose(widths_px(corners), [20.0, 20.0])
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    turned = offsets(3 * corners @ turn.T + 7, 3 * irises @ turn.T + 7)
    np.testing.assert_allclose(turned, offsets(corners, irises), atol=1e-12)
    assert CORNERS == ((36, 39), (42, 45))
