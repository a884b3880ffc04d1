//! What was asked of `vproc batch`, and how its outputs are named.
//!
//! A [`Template`] is a path below the output folder with places in braces; nothing here looks at files.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use super::output::CONTAINERS;
use super::{RunConfig, value};
use crate::error::{Error, Kind, Result};

/// How outputs are called when nobody says.
const DEFAULT_NAME: &str = "{stem}.{ext}";

/// What a batch is to do.
#[derive(Clone, Debug)]
pub struct BatchConfig {
    /// The options of every run; input and output are not used.
    pub run: RunConfig,
    /// Files, folders and globs, one at least.
    pub inputs: Vec<OsString>,
    /// Where the outputs go.
    pub folder: PathBuf,
    /// What they are called.
    pub name: Template,
    /// Folders inside the folders are read too.
    pub recursive: bool,
    /// Files under way at once, 1 or more.
    pub jobs: usize,
    /// New files are taken until somebody stops it.
    pub watch: bool,
}

/// A path below a folder with places for what an input is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Stem,
    Extension,
    Folder,
    Number,
}

/// What is put into the places of a [`Template`].
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The input.
    pub input: &'a Path,
    /// Its folder below the folder that was named; empty for a file that was named itself.
    pub folder: &'a Path,
    /// Which of the inputs it is, from 1.
    pub number: usize,
}

impl Default for Template {
    fn default() -> Self {
        Template::parse(OsStr::new(DEFAULT_NAME)).expect("the default is a template")
    }
}

impl Template {
    /// Reads `{dir}/{stem}_x2.{ext}`; doubled braces stand for themselves.
    pub fn parse(raw: &OsStr) -> Result<Template> {
        let text = value::text(raw)?;
        let wrong = |why: &str| {
            let message = format!("got '{text}', which {why}; expected a name such as {{stem}}_x2.{{ext}}");
            Err(Error::new(Kind::Usage, message))
        };
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.push_str(&from[..1]);
                rest = after;
                continue;
            }
            let Some((name, after)) = from.strip_prefix('{').and_then(|inside| inside.split_once('}')) else {
                return wrong("has a brace without its other");
            };
            let piece = match name {
                "stem" => Piece::Stem,
                "ext" => Piece::Extension,
                "dir" => Piece::Folder,
                "n" => Piece::Number,
                _ => return wrong(&format!("knows no {{{name}}}, only {{stem}}, {{ext}}, {{dir}} and {{n}}")),
            };
            pieces.extend([Piece::Text(std::mem::take(&mut plain)), piece]);
            rest = after;
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        if pieces.is_empty() || text.ends_with('/') {
            return wrong("names no file");
        }
        if Path::new(text).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            return wrong("leads out of the output folder");
        }
        Ok(Template(pieces))
    }

    /// Whether a text has a place for what an input is called, and so is none file's name.
    pub fn has_place(raw: &OsStr) -> bool {
        raw.as_encoded_bytes().contains(&b'{')
    }

    /// Whether the names depend on how many inputs come before.
    pub fn counts(&self) -> bool {
        self.0.contains(&Piece::Number)
    }

    /// The path for an input, below the output folder.
    pub fn fill(&self, names: Names) -> Result<PathBuf> {
        let mut text = OsString::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push(plain),
                Piece::Stem => text.push(names.input.file_stem().unwrap_or_default()),
                Piece::Extension => text.push(extension(names.input)),
                Piece::Folder => text.push(if names.folder == Path::new("") { Path::new(".") } else { names.folder }),
                Piece::Number => text.push(names.number.to_string()),
            }
        }
        let mut path = PathBuf::new();
        for part in Path::new(&text).components() {
            match part {
                Component::Normal(name) => path.push(name),
                Component::CurDir => {}
                // A stem may be two dots, and a folder's place may come first of all.
                _ => {
                    let message = format!("{}: its output would lie outside the folder", names.input.display());
                    return Err(Error::new(Kind::Usage, message));
                }
            }
        }
        Ok(path)
    }
}

/// How many files may be under way at once, from 1 up.
pub fn jobs(raw: &OsStr) -> Result<usize> {
    value::count(value::text(raw)?)
}

/// The extension of an input where it is one that can be written, else that of the container that holds most.
fn extension(input: &Path) -> OsString {
    let extension = input.extension().unwrap_or_default();
    let lower = extension.to_string_lossy().to_ascii_lowercase();
    let is_written = CONTAINERS.contains(&lower.as_str()) || lower == "y4m";
    if is_written { extension.to_owned() } else { "mkv".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, input: &str, folder: &str) -> Result<PathBuf> {
        let (input, folder) = (Path::new(input), Path::new(folder));
        Template::parse(OsStr::new(template))?.fill(Names { input, folder, number: 7 })
    }

    #[test]
    fn an_output_is_called_after_its_input() {
        for (template, input, folder, expected) in [
            ("{stem}.{ext}", "x/a.b.mp4", "", "a.b.mp4"),
            ("{stem}.{ext}", "a.AVI", "", "a.mkv"),
            ("{stem}.{ext}", "a.MOV", "", "a.MOV"),
            ("{stem}.{ext}", "raw", "", "raw.mkv"),
            ("{dir}/{n}_{stem}.mkv", "in/d/e/a.ts", "d/e", "d/e/7_a.mkv"),
            ("{dir}/{stem}.mkv", "a.ts", "", "a.mkv"),
            ("{{{stem}}}.mkv", "a.ts", "", "{a}.mkv"),
            ("./x/{stem}.mkv", "a.ts", "", "x/a.mkv"),
        ] {
            assert_eq!(filled(template, input, folder).unwrap(), Path::new(expected), "{template}");
        }
        assert!(Template::parse(OsStr::new("{n}.mkv")).unwrap().counts() && !Template::default().counts());
    }

    #[test]
    fn what_names_no_file_below_the_folder_is_refused() {
        for template in ["", "{stem", "stem}.mkv", "{name}.mkv", "../{stem}.mkv", "/{stem}.mkv", "a/../../{stem}", "x/"]
        {
            assert_eq!(filled(template, "a.mp4", "").unwrap_err().kind(), Kind::Usage, "{template}");
        }
        assert!(filled("{stem}/a.mkv", "...mp4", "").is_err());
        assert!(filled("{dir}/{stem}.mkv", "/a/b.mp4", "/a").is_err());
    }

    #[test]
    fn names_need_not_be_utf8() {
        use std::os::unix::ffi::OsStrExt;
        let (input, folder) = (Path::new(OsStr::from_bytes(b"\xff\n.mp4")), Path::new(""));
        let path = Template::default().fill(Names { input, folder, number: 1 }).unwrap();
        assert_eq!(path.as_os_str().as_bytes(), b"\xff\n.mp4");
    }
}
