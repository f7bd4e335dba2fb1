import pytest

from brainalign.report.page import number_text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.000"), (0.1234, "0.123"), (-2.0, "-2.000"), (0.001, "0.001"), (2.734e-14, "2.73e-14")]
)
def test_numbers_are_told_to_three_decimals_or_three_digits(value, text):
    assert number_text(value) == text
