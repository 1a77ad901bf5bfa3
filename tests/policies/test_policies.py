"""Published key-step sets, their rescaling, and the policies built on them: against the paper's own lists."""

from __future__ import annotations

import math

import pytest

from fdplug import registry
from fdplug.policies.published import PUBLISHED, nearest, rescale
from fdplug.testing.checks import schedule

# The paper counts t from T down to 1 (Table 5, appendix F.2); what it prints, turned into indices by hand as T - t.
PAPER = {
    ("sd", 50): [50, 49, 48, 47, 45, 40, 35, 25, 15],
    ("sd", 20): [20, 19, 18, 17, 15, 10, 5],
    ("personalized", 50): [50, 49, 48, 47, 45, 40, 35, 25, 15, 10],
    ("if-3", 75): [75, 73, 70, 66, 61, 55, 48, 40, 31, 21, 10],
    ("if-2", 50): list(range(50, 0, -1)),
}
TABLE_FIVE = {
    "uniform-i": list(range(50, 1, -2)),
    "uniform-ii": [50, 44, 38, 32, 26, 20, 14, 8, 2],
    "uniform-iii": [50, 38, 26, 14, 2],
    "non-uniform-i": [50, 40, 39, 38, 30, 25, 20, 15, 5],
    "non-uniform-ii": [50, 30, 25, 20, 15, 14, 5, 4, 3],
    "non-uniform-iii": [50, 41, 37, 35, 22, 21, 18, 14, 5],
    "non-uniform-iv": [50, 49, 48, 47, 45, 40, 35, 25, 15],
}


def keys(policy, steps, start=0):
    return sorted(registry.build("policy", policy).key_steps(schedule(steps, start)))


@pytest.mark.parametrize(("system", "steps"), PAPER)
def test_published_sets_are_the_papers(system, steps):
    assert keys({"paper": {"system": system}}, steps) == [steps - t for t in PAPER[system, steps]] or (
        system == "personalized"
        and keys({"paper": {"system": system}}, 50) == sorted(50 - t for t in PAPER[system, 50])
    )


@pytest.mark.parametrize("name", TABLE_FIVE)
def test_table_five_by_name(name):
    assert keys(name, 50) == [50 - t for t in TABLE_FIVE[name]]


def test_the_set_for_dit_has_the_published_group_sizes():
    """166 keys of 250 steps: 106 spans of one step, 44 of two, 12 of three, 3 of four, 1 of eight."""
    listed = keys({"paper": {"system": "dit"}}, 250)
    spans = [after - key for key, after in zip(listed, [*listed[1:], 250], strict=True)]
    assert len(listed) == 166
    assert {size: spans.count(size) for size in set(spans)} == {1: 106, 2: 44, 3: 12, 4: 3, 8: 1}


def test_the_first_stage_of_deepfloyd_has_forty_keys():
    listed = keys({"paper": {"system": "if-1"}}, 100)
    assert len(listed) == 40
    assert listed[:11] == list(range(11))
    assert listed[11:26] == [*range(15, 86, 5)]
    assert listed[26:] == list(range(86, 100))


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 19, 20, 25, 30, 31, 32, 50, 51, 99, 100, 1000])
def test_rescaling_follows_its_rule(steps):
    """From the published length with the nearest ratio, floor(k * n / N); no key is lost at larger counts."""
    source = 20 if math.sqrt(20 * 50) > steps else 50
    expected = sorted({math.floor(key * steps / source) for key in PUBLISHED["sd"][source]})
    assert keys("paper", steps) == expected
    assert expected[0] == 0
    assert steps < 50 or len(expected) == 9


@pytest.mark.parametrize(("steps", "count"), [(250, 166), (100, 90), (50, 49), (20, 20)])
def test_a_dense_set_has_few_gaps_left_in_short_runs(steps, count):
    assert len(keys({"paper": {"system": "dit"}}, steps)) == count


def test_nearest_compares_ratios():
    assert nearest((20, 50), 31) == 20
    assert nearest((20, 50), 32) == 50
    assert nearest((10, 40), 20) == 40


def test_rescaling_to_the_same_length_changes_nothing():
    assert rescale((0, 3, 9), 10, 10) == {0, 3, 9}


@pytest.mark.parametrize(("steps", "start", "expected"), [(10, 0, [0, 4, 8]), (10, 3, [3, 7]), (4, 0, [0])])
def test_uniform_interval_counts_from_the_first_step_that_is_run(steps, start, expected):
    assert keys({"uniform": {"interval": 4}}, steps, start) == expected


@pytest.mark.parametrize(("count", "start", "expected"), [(3, 0, [0, 3, 6]), (3, 4, [4, 6, 8]), (99, 8, [8, 9])])
def test_uniform_count_spreads_evenly(count, start, expected):
    assert keys({"uniform": {"count": count}}, 10, start) == expected


def test_all_and_explicit():
    assert keys("all", 4) == [0, 1, 2, 3]
    assert keys({"explicit": {"steps": [3, 1]}}, 4) == [1, 3]
