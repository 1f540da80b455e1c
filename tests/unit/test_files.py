"""Files that are written replace only what riqa wrote before, whatever name the others go by."""

import errno
import os
from pathlib import Path

import pytest

from robust_iqa_jax import files
from robust_iqa_jax.files import check_file, check_folder, check_outputs, check_space, cure, own_file, write_text


def test_ours_may_be_replaced_and_others_not(tmp_path):
    write_text(tmp_path / "report.md", "first")
    write_text(tmp_path / "report.md", "second")
    assert (tmp_path / "report.md").read_text() == "second"
    theirs = tmp_path / "scores.csv"
    theirs.write_text("mine")
    with pytest.raises(ValueError, match=r"scores\.csv: exists and was not written by riqa; choose another folder"):
        write_text(theirs, "riqa's")
    assert theirs.read_text() == "mine"


def test_an_error_while_writing_leaves_what_was_there_and_claims_nothing(tmp_path):
    def fail(path):
        with own_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail(tmp_path / "a")
    (tmp_path / "a").write_text("mine")
    with pytest.raises(ValueError, match="not written by riqa"):
        fail(tmp_path / "a")
    assert {path.name for path in tmp_path.iterdir()} == {"a"}


@pytest.mark.parametrize("kind", ["itself", "symlink", "hard link", "through a linked folder", "link at the output"])
def test_no_name_of_an_input_is_written_to(kind, tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    photo = folder / "photo.png"
    photo.write_bytes(b"photo")
    output, given = photo, photo
    if kind == "symlink":
        given = tmp_path / "link.png"
        given.symlink_to(photo)
    elif kind == "hard link":
        given = tmp_path / "other.png"
        os.link(photo, given)
    elif kind == "through a linked folder":
        (tmp_path / "linked").symlink_to(folder)
        output = tmp_path / "linked" / "photo.png"
    elif kind == "link at the output":
        output = tmp_path / "out.png"
        output.symlink_to(photo)
    files.note([output])  # even if riqa wrote it: what is read now must stay
    with pytest.raises(ValueError, match="is read by this command and would be replaced"):
        check_outputs([output], [given])


def test_other_spellings_are_the_same_file_where_the_file_system_says_so(tmp_path, monkeypatch):
    (tmp_path / "photo.png").write_bytes(b"")
    identity, lower = files._identity, lambda path: path.with_name(path.name.lower())
    monkeypatch.setattr(files, "_identity", lambda path: identity(lower(path)))
    with monkeypatch.context() as patch:
        patch.setattr(files.os.path, "lexists", lambda path: lower(path).exists())
        with pytest.raises(ValueError, match="is read by this command"):
            check_outputs([tmp_path / "PHOTO.PNG"], [tmp_path / "photo.png"])


def test_a_link_is_replaced_and_not_followed(tmp_path):
    theirs = tmp_path / "theirs.txt"
    theirs.write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    write_text(out / "a.txt", "ours")
    (out / "a.txt").unlink()
    (out / "a.txt").symlink_to(theirs)
    write_text(out / "a.txt", "ours again")
    assert theirs.read_text() == "mine"
    assert not (out / "a.txt").is_symlink()
    os.link(out / "a.txt", tmp_path / "kept.txt")
    write_text(out / "a.txt", "third")
    assert (tmp_path / "kept.txt").read_text() == "ours again"
    (out / "b.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"b\.txt: exists"):
        write_text(out / "b.txt", "")


def test_places_that_cannot_be_written_to_are_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"^folder .*file/sub: .*file is a file; give a folder"):
        check_folder(tmp_path / "file" / "sub")
    with pytest.raises(ValueError, match=r"^folder .*file: .*file is a file; give a folder"):
        check_folder(tmp_path / "file")
    with pytest.raises(ValueError, match=r"--json /proc/x: cannot be written to \(.*\); choose another"):
        check_file(Path("/proc/x/rows.json"), "--json")
    with pytest.raises(ValueError, match="is a folder where a file is to be written"):
        check_file(tmp_path)
    check_folder(tmp_path / "new" / "folder")
    assert not list((tmp_path / "new" / "folder").iterdir())


def test_space_is_compared_with_what_is_free(tmp_path):
    check_space(tmp_path, 1, "maps")
    with pytest.raises(ValueError, match=r"maps need 1000000000\.00 GB, .* GB are free"):
        check_space(tmp_path, 1e18, "maps")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.ENOENT])
def test_space_is_blamed_only_where_it_is_missing(number):
    full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    for error in (OSError(number, os.strerror(number)), RuntimeError(f"write: {os.strerror(number)} [code]")):
        assert (cure(error) == "free some space") == full
