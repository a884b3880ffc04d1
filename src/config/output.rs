//! What the word after `-o` means: a file, pictures, a stream, nothing, or hashes.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::value::nearest;
use crate::error::{Error, Kind, Result};

/// The extensions of files made by FFmpeg's muxers, in lower case.
pub const CONTAINERS: &[&str] = &["mp4", "m4v", "mov", "mkv", "webm"];

/// Where the frames go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A file whose extension, one of [`CONTAINERS`] in any case, says the container.
    File(PathBuf),
    /// A PNG a frame; the file name holds one `%d` or `%0Nd`.
    Images(PathBuf),
    /// A y4m file.
    Y4m(PathBuf),
    /// y4m on stdout.
    Stdout,
    /// Nowhere.
    Null,
    /// A hash a frame, into a file or on stdout.
    Md5(Option<PathBuf>),
}

impl Output {
    /// What `raw` means; a file is told by its extension alone, and nothing is opened.
    pub fn parse(raw: &OsStr) -> Result<Self> {
        let bytes = raw.as_bytes();
        match bytes {
            b"" => return Err(Error::new(Kind::Usage, "the output has no name; expected a file such as out.mp4")),
            b"-" => return Ok(Output::Stdout),
            b"null:" | b"/dev/null" => return Ok(Output::Null),
            _ => {}
        }
        if let Some(file) = bytes.strip_prefix(b"md5:") {
            return Ok(Output::Md5((!file.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(file)))));
        }
        if bytes.ends_with(b"/") {
            return Err(refused(raw, &format!("names a folder; {}", expected())));
        }
        let path = PathBuf::from(raw);
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            "y4m" => Ok(Output::Y4m(path)),
            "png" if holds_number(&path) => Ok(Output::Images(path)),
            "png" => {
                Err(refused(raw, "names one picture for many frames; put a number into it, such as frames/%06d.png"))
            }
            known if CONTAINERS.contains(&known) => Ok(Output::File(path)),
            "" => Err(refused(raw, &format!("has no extension that says what to write; {}", expected()))),
            other => {
                let hint =
                    nearest(other, CONTAINERS).map_or_else(String::new, |name| format!("; did you mean .{name}?"));
                Err(refused(raw, &format!("has the unknown extension .{other}; {}{hint}", expected())))
            }
        }
    }

    /// The file, or the pattern of files, that is written; `None` for stdout and nothing.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Output::File(path) | Output::Images(path) | Output::Y4m(path) => Some(path),
            Output::Md5(path) => path.as_deref(),
            Output::Stdout | Output::Null => None,
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::File(path) | Output::Images(path) | Output::Y4m(path) => write!(f, "{}", path.display()),
            Output::Stdout => f.write_str("-"),
            Output::Null => f.write_str("null:"),
            Output::Md5(None) => f.write_str("md5:"),
            Output::Md5(Some(path)) => write!(f, "md5:{}", path.display()),
        }
    }
}

/// Whether the file name holds exactly one conversion, `%d` or `%0Nd`.
fn holds_number(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let mut parts = name.split(|&byte| byte == b'%').skip(1);
    let (Some(part), None) = (parts.next(), parts.next()) else { return false };
    let width = part.iter().take_while(|byte| byte.is_ascii_digit()).count();
    part.get(width) == Some(&b'd') && (width == 0 || (part[0] == b'0' && (2..=3).contains(&width)))
}

/// What an output may be, for people.
fn expected() -> String {
    format!("expected .{}, .y4m, NAME%06d.png, '-', null: or md5:", CONTAINERS.join(", ."))
}

/// An output that cannot be.
fn refused(raw: &OsStr, why: &str) -> Error {
    Error::new(Kind::Usage, format!("output '{}' {why}", raw.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_told_by_its_name() {
        let path = PathBuf::from;
        for (text, expected) in [
            ("a.mp4", Output::File(path("a.mp4"))),
            ("dir.x/A.MKV", Output::File(path("dir.x/A.MKV"))),
            ("100%d.webm", Output::File(path("100%d.webm"))),
            ("d/%06d.png", Output::Images(path("d/%06d.png"))),
            ("d/f_%d.PNG", Output::Images(path("d/f_%d.PNG"))),
            ("a.y4m", Output::Y4m(path("a.y4m"))),
            ("-", Output::Stdout),
            ("null:", Output::Null),
            ("/dev/null", Output::Null),
            ("md5:", Output::Md5(None)),
            ("md5:a.txt", Output::Md5(Some(path("a.txt")))),
        ] {
            assert_eq!(Output::parse(OsStr::new(text)).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_refused_with_the_list() {
        for text in ["", "a", "a.xyz", "a.png", "%d%d.png", "%s.png", "d%d/a.png", "%5d.png", ".mp4", "dir/", "a.mp4/"]
        {
            assert_eq!(Output::parse(OsStr::new(text)).unwrap_err().kind(), Kind::Usage, "{text}");
        }
        let message = Output::parse(OsStr::new("a.mp5")).unwrap_err().to_string();
        assert!(message.contains(".mkv") && message.ends_with("did you mean .mp4?"), "{message}");
    }

    #[test]
    fn names_need_not_be_utf8() {
        let raw = OsStr::from_bytes(b"\xff\xfe.mkv");
        assert_eq!(Output::parse(raw).unwrap().path(), Some(Path::new(raw)));
    }
}
