"""Pairs, votes, and what they say, against hand counts and closed formulas."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest

from fdplug.commands.report import main
from fdplug.errors import ConfigError, DataError
from fdplug.report.folder import read
from fdplug.report.voting.pairs import Pair, choose, page_data, read_key
from fdplug.report.voting.tally import sign_test, table, tally, wilson
from fdplug.report.voting.votes import Vote, read_votes
from tests.report.conftest import answers


def _write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_a_study_is_balanced_and_repeatable(folder):
    compared = read(folder)
    study = choose(compared, count=4, seed=0)
    assert study == choose(compared, count=4, seed=0)
    assert study.digest != choose(compared, count=4, seed=1).digest
    assert Counter(pair.variant for pair in study.pairs) == {"fast": 2, "ddim-5": 2}, (
        "equal pictures are not asked about"
    )
    assert len({(pair.variant, pair.index) for pair in study.pairs}) == 4
    assert len({name for pair in study.pairs for name in (pair.id, *pair.pictures)}) == 12
    assert len(choose(compared, count=99, seed=0).pairs) == 6, "no pair twice"
    assert choose(compared, count=0, seed=0).pairs == ()


def test_a_study_holds_as_long_as_its_pictures(folder):
    """Another date in the results changes nothing; another pixel does."""
    before = choose(read(folder), count=4, seed=0)
    content = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps({**content, "created": "2031-01-01T00:00:00+00:00"}))
    assert choose(read(folder), count=4, seed=0) == before
    path = read(folder).picture(before.pairs[0].variant, before.pairs[0].index)
    Image.new("RGB", (24, 24)).save(path)
    assert choose(read(folder), count=4, seed=0).digest != before.digest


def test_pairs_once_chosen_are_kept(folder):
    assert main([str(folder), "--pairs", "4", "--seed", "3"]) == 0
    before = read_key(folder)
    assert main([str(folder)]) == 0
    assert read_key(folder) == before
    with pytest.raises(ConfigError, match="holds other pairs, and votes on them would be lost; leave out --pairs"):
        main([str(folder), "--pairs", "5"])
    (folder / "vote_key.json").unlink()
    assert main([str(folder), "--pairs", "5"]) == 0
    assert len(read_key(folder).pairs) == 5
    (folder / "images" / "ddim-5" / "000000000003.png").unlink()
    assert main([str(folder)]) == 0
    assert len(read_key(folder).pairs) == 5, "chosen anew, without the picture that is gone"


def test_pictures_that_were_not_generated_are_left_out(folder):
    """A picture that held not-a-number is not written: no pair of it is shown or asked about."""
    (folder / "images" / "fast" / "000000000010.png").unlink()
    assert main([str(folder)]) == 0
    assert {(pair.variant, pair.index) for pair in read_key(folder).pairs} == {
        ("fast", 0),
        ("fast", 2),
        *(("ddim-5", index) for index in range(3)),
    }
    assert "Missing: 1, which held not-a-number" in (folder / "report.html").read_text()


def test_the_page_shows_the_right_pictures_under_their_tokens(folder):
    import base64
    import io

    compared = read(folder)
    study = choose(compared, count=6, seed=0)
    data = page_data(study, compared, side=64)
    for pair in study.pairs:
        for token, name in zip(pair.pictures, (pair.variant, pair.against), strict=True):
            shown = Image.open(io.BytesIO(base64.b64decode(data["pictures"][token].partition(",")[2])))
            with Image.open(compared.picture(name, pair.index)) as drawn:
                assert (np.asarray(shown) == np.asarray(drawn)).all()


def test_the_key_comes_back(folder):
    study = choose(read(folder), count=6, seed=0)
    study.write(folder / "vote_key.json")
    assert read_key(folder) == study


def test_votes_are_counted_by_picture_not_by_side(reported, tmp_path):
    """One voter saw the variant on the left, one on the right; both preferred it for `fast` alone."""
    first = answers(reported, lambda pair: "variant" if pair["variant"] == "fast" else "against")
    second = answers(reported, lambda pair: "same", voter="00000002")
    for vote, pair in zip(second["votes"], json.loads((reported / "vote_key.json").read_text())["pairs"], strict=True):
        vote["left"], vote["right"] = vote["right"], vote["left"]
        vote["choice"] = "right" if pair["variant"] == "fast" else "left"
    files = [_write(tmp_path / "a.json", first), _write(tmp_path / "b.json", second)]
    votes = read_votes(files, read_key(reported))
    assert len(votes) == 12
    assert all(vote.preferred is (vote.pair.variant == "fast") for vote in votes)


def _votes(wins, losses, same):
    pair = Pair(id="q", index=0, variant="fast", against="slow", pictures=("a", "b"))
    return [Vote(pair, "v", preferred) for preferred in [True] * wins + [False] * losses + [None] * same]


@pytest.mark.parametrize(("wins", "losses"), [(7, 3), (0, 5), (18, 12), (10, 10)])
def test_win_rates_have_wilson_intervals_and_sign_tests(wins, losses):
    (found,) = tally(_votes(wins, losses, 4))
    count, rate, z = wins + losses, wins / (wins + losses), 1.959963984540054
    middle = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2))
    assert (found.wins, found.losses, found.same, found.rate) == (wins, losses, 4, rate)
    assert found.low == pytest.approx(max(middle - half, 0), abs=1e-9)
    assert found.high == pytest.approx(min(middle + half, 1), abs=1e-9)
    tail = sum(math.comb(count, k) for k in range(count + 1) if math.comb(count, k) <= math.comb(count, wins))
    assert found.p == pytest.approx(tail / 2**count)


@pytest.mark.parametrize("trials", [1, 2, 3, 10, 57, 400])
def test_rates_and_tests_are_those_of_scipy(trials):
    for wins in {0, 1, trials // 3, trials // 2, trials}:
        truth = binomtest(wins, trials)
        interval = truth.proportion_ci(0.95, method="wilson")
        assert wilson(wins, trials) == pytest.approx((interval.low, interval.high), abs=1e-12)
        assert sign_test(wins, trials) == pytest.approx(truth.pvalue, rel=1e-9)


def test_where_nobody_sees_a_difference_there_is_no_rate():
    (found,) = tally(_votes(0, 0, 3))
    assert found.rate is None
    assert table([found], 1)["body"] == [["fast", "slow", "0", "0", "3", "-", "-", "-"]]
    assert table([found], 1)["title"] == "3 answers of 1 voter"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"study": "0" * 24}, "answers another page .* exported .*, with its own folder"),
        ({"format": "x"}, "format is 'x', fdplug-votes-1 is needed; give what a voting page exported"),
        ({"votes": {}}, "votes is {}, a list is needed"),
        ({"votes": [{"pair": "q0", "choice": "left"}]}, "votes\\[0\\] has no 'left'"),
        ({"votes": ["x"]}, "votes\\[0\\] is 'x', an object is needed"),
    ],
)
def test_votes_that_do_not_fit_are_refused(reported, tmp_path, change, message):
    file = _write(tmp_path / "votes.json", answers(reported, lambda pair: "same", **change))
    with pytest.raises(DataError, match=message):
        read_votes([file], read_key(reported))


def test_forged_pictures_and_repeated_answers_are_refused(reported, tmp_path):
    study, good = read_key(reported), answers(reported, lambda pair: "variant")
    forged = {**good, "votes": [{**good["votes"][0], "left": good["votes"][1]["left"]}]}
    with pytest.raises(DataError, match="names pictures that are not those of pair"):
        read_votes([_write(tmp_path / "a.json", forged)], study)
    with pytest.raises(DataError, match="a second time"):
        read_votes([_write(tmp_path / "b.json", {**good, "votes": [good["votes"][0]] * 2})], study)
    files = [_write(tmp_path / "c.json", good), _write(tmp_path / "d.json", good)]
    with pytest.raises(DataError, match="are both of voter 00000001"):
        read_votes(files, study)
    with pytest.raises(DataError, match="not valid json"):
        read_votes([_write(tmp_path / "e.json", "{")], study)
    with pytest.raises(DataError, match="cannot read the votes"):
        read_votes([tmp_path / "none.json"], study)


def test_the_command_reports_and_counts(folder, tmp_path, capsys):
    assert main([str(folder), "--pairs", "6", "--power", "100"]) == 0
    assert {path.name for path in folder.glob("*.html")} == {"report.html", "vote.html"}
    assert 'id="power" min="0" step="any" value="100"' in (folder / "report.html").read_text()
    page = (folder / "vote.html").read_bytes()
    file = _write(tmp_path / "votes-1.json", answers(folder, lambda pair: "variant"))
    assert main([str(folder), "--votes", file]) == 0
    assert "6 answers of 1 voter" in capsys.readouterr().out
    assert (folder / "vote.html").read_bytes() == page, "votes that are still to come stay valid"
    body = json.loads((folder / "votes.json").read_text())["body"]
    assert [cells[:6] for cells in body] == [
        ["ddim-5", "ddim-10", "3", "0", "0", "1.000"],
        ["fast", "ddim-10", "3", "0", "0", "1.000"],
    ]
    for _ in range(2):
        assert "6 answers of 1 voter" in (folder / "report.html").read_text()
        assert main([str(folder), "--limit", "2"]) == 0


def test_broken_counts_are_named(folder):
    (folder / "votes.json").write_text("[]")
    with pytest.raises(DataError, match=r"votes\.json: .*; count the votes again with --votes, or delete it"):
        main([str(folder)])


@pytest.mark.parametrize(
    ("extra", "error", "message"),
    [
        (["--limit", "0"], ConfigError, "limit must be a whole number of at least 1"),
        (["--power", "-1"], ConfigError, "power must be a number of at least 0"),
        (
            ["--votes", "x.json"],
            DataError,
            r"cannot read .*vote_key\.json: .*; run `fdplug report .*` first",
        ),
        (["--votes", "x.json", "--pairs", "3"], ConfigError, "votes are about those chosen before: leave them out"),
        (["--analysis", "nowhere"], DataError, "no figure"),
        (["--nothing"], ConfigError, "no option '--nothing'"),
    ],
)
def test_bad_options_are_refused(folder, extra, error, message):
    with pytest.raises(error, match=message):
        main([str(folder), *extra])


def test_nothing_to_vote_on_is_said(folder):
    content = json.loads((folder / "results.json").read_text())
    content["variants"] = content["variants"][:1]
    (folder / "results.json").write_text(json.dumps(content))
    assert main([str(folder)]) == 0
    assert not (folder / "vote.html").exists()
    text = (folder / "report.html").read_text()
    assert "There is no pair of different pictures to vote on" in text
    assert "No variant has an un-accelerated one" in text
