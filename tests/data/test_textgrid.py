"""TextGrids: every interval, stripped labels, and no cut file."""

import pytest

from brainalign.data._textgrid import read_textgrid
from brainalign.errors import MissingData

HEAD = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 3\ntiers? <exists>\nsize = {}\nitem []:\n'
)


def interval(i, start, end, label):
    return f'    intervals [{i}]:\n        xmin = {start} \n        xmax = {end} \n        text = "{label}" \n'


def tier(name, *intervals, size=None, kind="IntervalTier"):
    head = f'    item [1]:\n        class = "{kind}"\n        name = "{name}"\n        xmin = 0\n        xmax = 3\n'
    head += f"        intervals: size = {len(intervals) if size is None else size}\n"
    return head + "".join(interval(i, *one) for i, one in enumerate(intervals, start=1))


def write(tmp_path, *tiers, encoding="utf-8", n_tiers=None):
    path = tmp_path / "a.TextGrid"
    path.write_bytes((HEAD.format(n_tiers or len(tiers)) + "".join(tiers)).encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tiers_are_read_with_stripped_labels_and_unescaped_quotes(tmp_path, encoding):
    words = tier("word", (0, 1.5, " café "), (1.5, 2, 'say ""no""'), (2, 3, ""))
    phones = tier("phone", (0, 3, "two\nlines xmin = 7"))
    tiers = read_textgrid(write(tmp_path, words, phones, encoding=encoding))
    assert list(tiers) == ["word", "phone"]
    assert tiers["word"]["label"].tolist() == ["café", 'say "no"', ""]
    assert tiers["word"]["start"].tolist() == [0, 1.5, 2]
    assert tiers["word"]["end"].tolist() == [1.5, 2, 3]
    assert tiers["phone"]["label"].tolist() == ["two\nlines xmin = 7"]


def test_point_tiers_are_left_out(tmp_path):
    points = (
        '    item [1]:\n        class = "TextTier"\n        name = "p"\n        xmin = 0\n        xmax = 3\n'
        '        points: size = 1\n        points [1]:\n            number = 1\n            mark = "x"\n'
    )
    assert list(read_textgrid(write(tmp_path, points, tier("word", (0, 3, "a"))))) == ["word"]


@pytest.mark.parametrize("n_cut", [1, 30, 60, 100])
def test_a_cut_file_is_refused(tmp_path, n_cut):
    path = write(tmp_path, tier("word", (0, 1, "alpha"), (1, 2, "beta"), (2, 3, "gamma")))
    path.write_bytes(path.read_bytes().rstrip()[:-n_cut])
    with pytest.raises(MissingData, match="3 intervals announced"):
        read_textgrid(path)


def test_a_file_cut_between_tiers_is_refused(tmp_path):
    with pytest.raises(MissingData, match="2 tiers announced, 1 found; the file is cut"):
        read_textgrid(write(tmp_path, tier("word", (0, 3, "a")), n_tiers=2))
    with pytest.raises(MissingData, match="2 tiers announced, 0 found; the file is cut"):
        read_textgrid(write(tmp_path, n_tiers=2))


@pytest.mark.parametrize("end_of_line", [b"\r\n", b"\r"])
def test_lines_may_end_as_on_other_systems(tmp_path, end_of_line):
    path = write(tmp_path, tier("word", (0, 1, "a"), (1, 3, "b")))
    path.write_bytes(path.read_bytes().replace(b"\n", end_of_line))
    assert read_textgrid(path)["word"]["label"].tolist() == ["a", "b"]


@pytest.mark.parametrize("time", ["NaN", "1,5", "--undefined--"])
def test_times_that_are_no_numbers_are_refused(tmp_path, time):
    with pytest.raises(MissingData, match=f"tier 'word': interval 2 from 1 to {time} .* its times are no numbers"):
        read_textgrid(write(tmp_path, tier("word", (0, 1, "a"), (1, time, "b"))))


def test_more_intervals_than_announced_are_refused(tmp_path):
    with pytest.raises(MissingData, match="1 intervals announced, 2 complete ones found"):
        read_textgrid(write(tmp_path, tier("word", (0, 1, "a"), (1, 2, "b"), size=1)))


@pytest.mark.parametrize("second", [(0.5, 2), (1, 1), (2, 1)], ids=["overlap", "empty", "backwards"])
def test_intervals_that_overlap_or_run_backwards_are_refused(tmp_path, second):
    with pytest.raises(MissingData, match="interval 2"):
        read_textgrid(write(tmp_path, tier("word", (0, 1, "a"), (*second, "b"))))


def test_two_tiers_of_one_name_are_refused(tmp_path):
    with pytest.raises(MissingData, match="two tiers"):
        read_textgrid(write(tmp_path, tier("word", (0, 1, "a")), tier("word", (0, 1, "a"))))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text('File type = "ooTextFile"\n"TextGrid"\n0\n3\n<exists>\n1\n')
    with pytest.raises(MissingData, match="long text format"):
        read_textgrid(path)
    path.write_bytes(b'File type = "ooTextFile"\nObject class = "TextGrid"\nitem []:\n\xff')
    with pytest.raises(MissingData, match="not UTF-8"):
        read_textgrid(path)
    with pytest.raises(MissingData, match="no such file"):
        read_textgrid(tmp_path / "absent")


def test_the_twelve_phone_textgrids_are_read(data_dir):
    for path in sorted((data_dir / "brennan2016/phonemes").glob("*.TextGrid")):
        tiers = read_textgrid(path)
        assert set(tiers) == {"words", "phones"}
        assert (tiers["phones"]["label"] != "").sum() > 300
