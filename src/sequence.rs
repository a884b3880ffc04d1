//! Names of numbered files: `shots/%06d.png`.
//!
//! The image source reads such sequences and the image sink writes them. Only the file name is a pattern, folders are
//! taken as they are. Nothing here looks at the file system but [`Sequence::numbers`].

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// A folder and a file name with a number in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    folder: PathBuf,
    prefix: String,
    /// Digits the number is padded to with zeros; 0 for none.
    n_digits: usize,
    suffix: String,
}

/// Whether the file name of `path` holds exactly one `%d` or `%0Nd`, so that it names a sequence.
pub fn is_pattern(path: &Path) -> bool {
    Sequence::parse(path).is_ok()
}

impl Sequence {
    /// Reads `folder/name%06d.png`: one `%d` or `%0Nd` (N up to 18), `%%` for a percent sign.
    pub fn parse(path: &Path) -> Result<Self> {
        let refuse = |why: &str| {
            let message = format!("{}: {why}; write it like %06d.png, and %% for a percent sign", path.display());
            Err(Error::new(Kind::Usage, message))
        };
        let Some(name) = path.file_name().and_then(OsStr::to_str) else {
            return refuse("the name of an image sequence is not valid text");
        };
        let (mut parts, mut n_digits) = ([String::new(), String::new()], None);
        let mut rest = name;
        while let Some((before, after)) = rest.split_once('%') {
            let part = &mut parts[usize::from(n_digits.is_some())];
            part.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                part.push('%');
                rest = after;
                continue;
            }
            let Some((digits, after)) = after.split_once('d') else { return refuse("a % without its d") };
            let count = match digits {
                "" => Some(0),
                _ => digits.strip_prefix('0').and_then(|count| count.parse().ok()).filter(|count| *count <= 18),
            };
            let Some(count) = count else { return refuse("a number that is neither %d nor %0Nd") };
            if n_digits.replace(count).is_some() {
                return refuse("more than one number");
            }
            rest = after;
        }
        parts[usize::from(n_digits.is_some())].push_str(rest);
        let Some(n_digits) = n_digits else { return refuse("no number") };
        let [prefix, suffix] = parts;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Sequence { folder, prefix, n_digits, suffix })
    }

    /// Where the files lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file with this number.
    pub fn path(&self, number: u64) -> PathBuf {
        self.folder.join(self.name(number))
    }

    fn name(&self, number: u64) -> String {
        format!("{}{number:0width$}{}", self.prefix, self.suffix, width = self.n_digits)
    }

    /// The number of a file name, if it is a name of this sequence.
    fn number(&self, name: &str) -> Option<u64> {
        let digits = name.strip_prefix(&self.prefix)?.strip_suffix(&self.suffix)?;
        let number = digits.parse().ok()?;
        (self.name(number) == name).then_some(number)
    }

    /// The numbers of the files that are there, rising.
    pub fn numbers(&self) -> Result<Vec<u64>> {
        let folder = self.folder.display();
        let mut numbers = Vec::new();
        for entry in
            std::fs::read_dir(&self.folder).map_err(|error| Error::open(format!("the folder {folder}"), error))?
        {
            let entry = entry.map_err(|error| Error::io(format!("list the folder {folder}"), error))?;
            let name = entry.file_name();
            numbers.extend(name.to_str().and_then(|name| self.number(name)));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_there_and_back() {
        let sequence = Sequence::parse(Path::new("a%d/100%%_%04d.png")).unwrap();
        assert_eq!(sequence.path(7), Path::new("a%d/100%_0007.png"));
        assert_eq!(sequence.number("100%_12345.png"), Some(12345));
        for other in ["100%_007.png", "100%_+007.png", "100%_00007.png", "100%_0007.jpg", "100%_.png"] {
            assert_eq!(sequence.number(other), None, "{other}");
        }
        assert_eq!(Sequence::parse(Path::new("%d.png")).unwrap().path(0), Path::new("./0.png"));
    }

    #[test]
    fn what_is_no_pattern_is_told_apart() {
        for name in ["a.png", "%d%d.png", "%5d.png", "%x.png", "50%.png", "%%d.png", "%0999d.png", ".."] {
            assert!(!is_pattern(Path::new(name)), "{name}");
        }
        assert!(is_pattern(Path::new("x/%06d.png")));
    }

    #[test]
    fn a_folder_that_is_not_there_is_unusable_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let error = Sequence::parse(&folder.path().join("none/%04d.png")).unwrap().numbers().unwrap_err();
        assert_eq!(error.exit_status(), 4, "{error}");
    }
}
