//! Mistakes of the file as a whole.

use super::super::{LONGEST, load};
use super::{Folder, around};

#[test]
fn no_file() {
    let folder = Folder::with("");
    let path = folder.path("nowhere.toml");
    let expected = format!(
        "no nowhere.toml in {}: run `dogwatch init`, or name one with -f FILE",
        folder.0.path().display()
    );
    assert_eq!(load(&path, &around()).unwrap_err().to_string(), expected);
}

#[test]
fn a_folder_and_a_fifo_are_no_files() {
    let folder = Folder::with("");
    let text = load(folder.0.path(), &around()).unwrap_err().to_string();
    assert!(text.ends_with(": it is not a regular file\n  name a file"), "{text}");
    let fifo = folder.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let text = load(&fifo, &around()).unwrap_err().to_string();
    assert!(text.ends_with(": it is not a regular file\n  name a file"), "{text}");
}

#[test]
fn too_long() {
    let folder = Folder::with(&"#".repeat(LONGEST as usize + 1));
    let expected =
        "ecosystem.toml: it has more than 1 MiB\n  no ecosystem needs that much: is it the right file?";
    assert_eq!(folder.mistakes(), expected);
}

#[test]
fn not_utf8() {
    let folder = Folder::with("");
    folder.write("ecosystem.toml", b"# caf\xe9\n".as_slice());
    let expected = "ecosystem.toml:1:6: it is not UTF-8 text from here on
    1 | # caf\u{fffd}
      |      ^ save it as UTF-8";
    assert_eq!(folder.mistakes(), expected);
}

#[test]
fn a_path_that_is_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::with("");
    let other = folder.path("").join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&other).unwrap();
    let path = other.join("ecosystem.toml");
    std::fs::write(&path, "[services.web]\ncommand = [\"./app\"]\n").unwrap();
    let text = load(&path, &around()).unwrap_err().to_string();
    let expected =
        ": its path is not UTF-8 text\n  rename it, or the folder above it whose name is in other bytes";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn a_byte_order_mark_is_no_mistake() {
    let folder = Folder::with("\u{feff}[services.web]\ncommand = [\"./app\"]\n");
    assert!(folder.load().is_ok());
}

#[test]
fn lines_may_end_as_on_windows() {
    let folder = Folder::with("[services.web]\r\ncommand = [\"./app\"]\r\ncwdd = \"x\"\r\n");
    let expected = "ecosystem.toml:3:1: unknown key `cwdd` in [services.web]
    3 | cwdd = \"x\"
      | ^^^^ did you mean `cwd`?";
    assert_eq!(folder.mistakes(), expected);
}
