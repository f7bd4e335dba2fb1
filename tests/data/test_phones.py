import pandas as pd

from brainalign.data._phones import phones_of_words, spoken_words


def tier(*intervals):
    return pd.DataFrame(intervals, columns=["start", "end", "label"])


def test_phones_belong_to_the_word_that_holds_their_middle():
    words = tier((0.0, 0.5, ""), (0.5, 1.0, "hi"), (1.0, 1.4, "sp"), (1.4, 2.0, "you"))
    phones = tier((0.0, 0.49, "sil"), (0.49, 0.8, "HH"), (0.8, 1.01, "AY1"), (1.01, 1.4, "sp"), (1.4, 1.7, "Y"))
    assert spoken_words(words, phones, pauses=("", "sp", "sil")) == [("hi", "HH AY1"), ("you", "Y")]


def test_words_left_out_are_said_as_elsewhere():
    spoken = [("the", "DH AH0"), ("cat", "K AE1 T"), ("the", "DH AH0"), ("the", "DH IY0"), ("dog", "D AO1 G")]
    phones, counts = phones_of_words(["The", "cat", "the", "the", "dog", "and", "the"], spoken)
    assert phones == ["DH AH0", "K AE1 T", "DH AH0", "DH IY0", "D AO1 G", "", "DH AH0"]
    assert counts == {"aligned": 5, "from_elsewhere": 1, "unknown": 1}
