import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import read_tsv
from brainalign.data._simulated_bids.tables import write_table


def test_a_table_comes_back_as_it_was_written(tmp_path):
    table = pd.DataFrame(
        {
            "onset": [0.1, 1e-13, np.nan],
            "word": ["null", '"', "NA"],
            "sentence_id": pd.array([1, None, 3], dtype="Int64"),
        }
    )
    write_table(tmp_path / "table.tsv", table)
    back = read_tsv(tmp_path / "table.tsv")
    assert back["onset"].to_numpy() == pytest.approx(table["onset"].to_numpy(), nan_ok=True)
    assert back["word"].tolist() == table["word"].tolist()
    assert back["sentence_id"].tolist()[::2] == [1, 3]
    assert (tmp_path / "table.tsv").read_text().splitlines()[2] == '1e-13\t"\tn/a'


def test_a_tab_within_a_word_is_refused(tmp_path):
    with pytest.raises(ValueError, match="column 'word' holds a tab"):
        write_table(tmp_path / "table.tsv", pd.DataFrame({"word": ["a\tb"]}))
