"""The one csv reader."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.data.csv_text import closest, ends_whole, read_csv_text
from competition.errors import InputFault


def read(tmp_path, content, columns=()):
    path = tmp_path / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_csv_text(path, columns)


def test_ids_stay_the_text_they_are(tmp_path):
    ids = ["0001", "NA", "null", "1e5", "True", "-1", "9747413253", "", "#N/A", "=1+1"]
    frame = read(tmp_path, "id,rle\n" + "".join(f"{i},1 1\n" for i in ids))
    assert frame["id"].tolist() == ids


def test_the_index_is_the_line_in_the_file(tmp_path):
    frame = read(tmp_path, 'id,rle\na,1 1\n\n"b\nc",1 1\nd,1 1\n')
    assert frame.index.tolist() == [2, 5, 6] and frame["id"].tolist() == ["a", "b\nc", "d"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfid,rle\na,1 2\n",
        b"id,rle\r\na,1 2\r\n",
        b" id, rle \na,1 2\n",
        b"id,rle\na,1 2",
    ],
    ids=["byte-order mark", "CRLF", "spaces in the header", "no last line break"],
)
def test_habits_of_real_files_are_accepted(tmp_path, content):
    frame = read(tmp_path, content, ["id", "rle"])
    assert frame.to_dict("list") == {"id": ["a"], "rle": ["1 2"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; expected a header"),
        (b"id;rle\na;1 2\n", "separated by semicolons; expected commas"),
        (b"id\trle\na\t1 2\n", "separated by tabs"),
        ("id,rle\na,1 2\n".encode("utf-16"), "UTF-16"),
        (b"id,rle\nb\xe4r,1 2\n", "line 2: not UTF-8"),
        (b"id,rle\na,1 2\nb\n", "line 3: 1 fields, expected 2"),
        (b"id,rle\na,1 2,3\n", "line 2: 3 fields, expected 2"),
        (b'id,rle\n"a,1 2\nb,1 2\n', "is a quote open"),
        (
            b"id,rel\na,1 2\n",
            r"no column 'rle'; did you mean 'rel'\?; its columns are \['id', 'rel'\]",
        ),
        (b"id,rle,id\na,1 2,b\n", "has the column 'id' twice"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(tmp_path, content, message):
    with pytest.raises(InputFault, match=message):
        read(tmp_path, content, ["id", "rle"])


def test_a_header_without_rows_is_an_empty_table(tmp_path):
    frame = read(tmp_path, "id,rle\n", ["id"])
    assert len(frame) == 0 and frame.columns.tolist() == ["id", "rle"]


def test_a_row_that_is_cut_off_is_not_filled_up_as_an_empty_mask(tmp_path):
    # pandas reads the last row as an image with an empty mask
    with pytest.raises(InputFault, match="line 3: 2 fields, expected 3"):
        read(tmp_path, "id,class,rle\na,x,1 2\nb,x")


def test_a_run_length_text_may_be_megabytes(tmp_path):
    text = "1 1 " * 500_000
    assert read(tmp_path, f"id,rle\na,{text}\n")["rle"].iloc[0] == text


def test_a_file_whose_last_row_may_be_cut_is_known(tmp_path):
    for content, whole in (("a,b\n1,2\n", True), ("a,b\n1,2", False), ("", False)):
        (tmp_path / "x.csv").write_text(content)
        assert ends_whole(tmp_path / "x.csv") is whole


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputFault, match=r"gone.csv does not exist"):
        read_csv_text(tmp_path / "gone.csv")


def test_the_closest_known_name_is_offered():
    assert closest("wrist ", ["Wrist", "Radius"]) == "; did you mean 'Wrist'?"
    assert closest("elbow", ["Wrist", "Radius"]) == ""


_FIELD = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)


@settings(deadline=None)
@given(rows=st.lists(st.tuples(_FIELD, _FIELD), min_size=1, max_size=8))
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows([("a", "b"), *rows])
    path.write_text(file.getvalue(), encoding="utf-8", newline="")
    frame = read_csv_text(path, ["a", "b"])
    assert list(frame.itertuples(index=False, name=None)) == rows
