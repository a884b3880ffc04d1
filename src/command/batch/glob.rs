//! Globs that no shell has expanded: `clips/*/take?.[mM]*`.
//!
//! Each part of the path is matched by itself; hidden names need a pattern that begins with a dot. Names are bytes.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Whether a path holds anything that a glob is made of.
pub fn is_glob(path: &Path) -> bool {
    path.as_os_str().as_bytes().iter().any(|byte| b"*?[".contains(byte))
}

/// The longest beginning of a glob that is a plain path: all that it matches lies below.
pub fn base(glob: &Path) -> PathBuf {
    let plain: PathBuf = glob.components().take_while(|part| !is_glob(Path::new(part.as_os_str()))).collect();
    if plain.as_os_str().is_empty() { PathBuf::from(".") } else { plain }
}

/// The names in a folder, in no order.
pub fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
}

/// The paths that a glob matches, sorted; `unread` takes the folders that cannot be listed, and why.
pub fn expand(glob: &Path, unread: &mut Vec<(PathBuf, io::Error)>) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in glob.components() {
        let Component::Normal(pattern) = part else {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        if !is_glob(Path::new(pattern)) {
            found.iter_mut().for_each(|path| path.push(pattern));
            // A plain part matches only what is there; it need not be listed for that.
            found.retain(|path| fs::symlink_metadata(path).is_ok());
            continue;
        }
        let mut deeper = Vec::new();
        for folder in found {
            let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
            // What was matched by an earlier part may be a file, and then has nothing below.
            if !listed.is_dir() {
                continue;
            }
            match names(listed) {
                Ok(mut names) => {
                    names.retain(|name| matches(pattern.as_bytes(), name.as_bytes()));
                    deeper.extend(names.iter().map(|name| folder.join(name)));
                }
                Err(error) => unread.push((listed.to_owned(), error)),
            }
        }
        found = deeper;
    }
    found.sort();
    found
}

/// Whether a name fits a pattern of `*`, `?` and `[a-z]` or `[!a-z]`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    // After a mismatch the last star takes one byte more: no pattern takes more than the product of the lengths.
    let (mut at, mut from) = ((0, 0), None);
    while at.1 < name.len() {
        if pattern.get(at.0) == Some(&b'*') {
            from = Some(at);
            at.0 += 1;
        } else if let Some(length) = fits(&pattern[at.0..], name[at.1]) {
            at = (at.0 + length, at.1 + 1);
        } else if let Some((star, taken)) = from {
            from = Some((star, taken + 1));
            at = (star + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at.0..].iter().all(|byte| *byte == b'*')
}

/// How many bytes of a pattern's beginning stand for this byte of a name; `None` if they do not.
fn fits(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' if let Some((length, has_it)) = set(pattern, byte) => has_it.then_some(length),
        first => (*first == byte).then_some(1),
    }
}

/// The length of the set that a pattern begins with, and whether the byte is in it; `None` without its end.
fn set(pattern: &[u8], byte: u8) -> Option<(usize, bool)> {
    let is_without = matches!(pattern.get(1), Some(b'!' | b'^'));
    let begin = if is_without { 2 } else { 1 };
    // A bracket right at the beginning is a member.
    let end = begin + 1 + pattern.get(begin + 1..)?.iter().position(|byte| *byte == b']')?;
    let (members, mut index, mut has_it) = (&pattern[begin..end], 0, false);
    while index < members.len() {
        let (from, to) = match members.get(index + 1..index + 3) {
            Some([b'-', to]) => (members[index], *to),
            _ => (members[index], members[index]),
        };
        has_it |= (from..=to).contains(&byte);
        index += if from == to { 1 } else { 3 };
    }
    Some((end + 1, has_it != is_without))
}

/// Whether a name is hidden, as shells and file managers see it.
pub fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().first() == Some(&b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.mp4", "a.mp4", true),
            ("*.mp4", ".mp4", false),
            (".*", ".mp4", true),
            ("*", "", true),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXb", false),
            ("?", "ab", false),
            ("take?.[mM]*", "take1.MOV", true),
            ("[!a-c]", "b", false),
            ("[^a-c]", "d", true),
            ("[]x]", "]", true),
            ("[a-]", "-", true),
            ("[b-b]c", "bc", true),
            ("[x", "[x", true),
            ("a[", "a[", true),
            ("**", "abc", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
        let long = "a*".repeat(40) + "b";
        assert!(!matches(long.as_bytes(), "a".repeat(400).as_bytes()));
    }

    #[test]
    fn a_glob_is_expanded_part_by_part() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["a/x.mp4", "a/y.mkv", "b/z.mp4", "b/.h.mp4", "c.mp4"] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), "").unwrap();
        }
        let found = |glob: &str| -> Vec<PathBuf> {
            let mut unread = Vec::new();
            let found = expand(&root.join(glob), &mut unread);
            assert!(unread.is_empty(), "{unread:?}");
            found.into_iter().map(|path| path.strip_prefix(root).unwrap().to_owned()).collect()
        };
        assert_eq!(found("*/*.mp4"), [Path::new("a/x.mp4"), Path::new("b/z.mp4")]);
        assert_eq!(found("*"), [Path::new("a"), Path::new("b"), Path::new("c.mp4")]);
        assert_eq!(found("[ab]/../c.mp?"), [Path::new("a/../c.mp4"), Path::new("b/../c.mp4")]);
        assert!(found("*/none").is_empty() && found("none/*").is_empty());
        assert_eq!(base(&root.join("a/*/b")), root.join("a"));
        assert_eq!((base(Path::new("*.mp4")), base(Path::new("/*"))), (".".into(), "/".into()));
    }
}
