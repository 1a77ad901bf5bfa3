"""The last words of a prediction."""

from fdplug.predict.lightning.callbacks.summary import _numbers


def test_numbers_stand_below_each_other_with_their_errors():
    values = {"fid": 12.3456, "fid_se": 0.123, "seconds_per_image": 1.5, "lonely_se": 2.0}
    assert _numbers(values) == ("fid                12.35 ±0.12\nseconds_per_image  1.5\nlonely_se          2")
    assert _numbers({}) == ""
