//! Where values are said: user file, project file, `--config`, environment, command line.
//!
//! [`Layers`] names the places, [`Layers::gather`] reads them from the weakest to the strongest. A key that no file
//! may hold is an error with the near name; a variable that is not known is only a warning, since other programs may
//! use the prefix too.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use super::{KEYS, Key, Origin, Region, RunConfig, Scope, Template, value};
use crate::error::{Context, Error, Kind, Result};

/// A configuration file is not longer than this, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Variables that begin with `VPROC_` and are no keys: read by the log, the choice of kernels, and the tests.
const OTHER_VARIABLES: &[&str] = &["VPROC_LOG", "VPROC_CPU", "VPROC_TEST"];

/// The folders of the user that belong to vproc; they need not exist.
#[derive(Clone, Debug)]
pub struct Folders {
    /// `$XDG_CONFIG_HOME/vproc`.
    pub config: PathBuf,
    /// `$XDG_DATA_HOME/vproc`, where libraries and networks are looked for.
    pub data: PathBuf,
    /// `$XDG_CACHE_HOME/vproc`, where measurements of earlier runs are kept.
    pub cache: PathBuf,
}

/// The folders of the user; `None` without a home.
pub fn folders() -> Option<Folders> {
    let base = etcetera::choose_base_strategy().ok()?;
    let of = |folder: PathBuf| folder.join("vproc");
    Some(Folders { config: of(base.config_dir()), data: of(base.data_dir()), cache: of(base.cache_dir()) })
}

/// The places where values are said. What is `None` or empty is not looked at.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The user's file; it need not exist.
    pub user_file: Option<PathBuf>,
    /// The project's file; it need not exist.
    pub project_file: Option<PathBuf>,
    /// The file named by `--config`; it must exist.
    pub named_file: Option<PathBuf>,
    /// The variables of the environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What the command line says: names of [`KEYS`], each with its values.
    pub command_line: Vec<(&'static str, Vec<OsString>)>,
}

impl Layers {
    /// The places of this process: its user, working folder and environment; `with_files` unless `--no-config`.
    pub fn of_process(with_files: bool) -> Self {
        Layers {
            user_file: folders().filter(|_| with_files).map(|folders| folders.config.join("config.toml")),
            project_file: with_files.then(|| PathBuf::from("vproc.toml")),
            named_file: None,
            environment: std::env::vars_os().collect(),
            command_line: Vec::new(),
        }
    }

    /// Reads all places and checks that the values fit each other.
    pub fn gather(&self) -> Result<RunConfig> {
        let config = self.read()?;
        config.check()?;
        config.check_encoding()?;
        Ok(config)
    }

    /// Reads all places, for commands that need not have an input or an output.
    pub fn read(&self) -> Result<RunConfig> {
        let mut config = RunConfig::default();
        for (file, least, must_exist) in [
            (&self.user_file, Scope::Trusted, false),
            (&self.project_file, Scope::Anywhere, false),
            (&self.named_file, Scope::Trusted, true),
        ] {
            if let Some(path) = file {
                read_file(&mut config, path, least, must_exist).context(|| path.display().to_string())?;
            }
        }
        self.read_environment(&mut config)?;
        for (name, values) in &self.command_line {
            config.set(name, values, &Origin::CommandLine)?;
        }
        Ok(config)
    }

    fn read_environment(&self, config: &mut RunConfig) -> Result<()> {
        let keys = || KEYS.iter().filter(|key| key.scope != Scope::CommandLine);
        for Key { name, .. } in keys() {
            let variable = variable(name);
            let value = self.environment.iter().find(|(key, _)| *key == *variable).map(|(_, value)| value);
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                config.set(name, std::slice::from_ref(value), &Origin::Environment)?;
            }
        }
        let known: Vec<String> = keys().map(|key| variable(key.name)).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        for (name, _) in &self.environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with("VPROC_")) else { continue };
            if !known.contains(&name) && !OTHER_VARIABLES.iter().any(|other| name.starts_with(other)) {
                let hint =
                    value::nearest(name, &known).map_or_else(String::new, |name| format!("; did you mean {name}?"));
                config.warnings.push(format!("the variable {name} says nothing to vproc{hint}"));
            }
        }
        Ok(())
    }
}

/// The variable of the environment that says `name`.
pub(super) fn variable(name: &str) -> String {
    format!("VPROC_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// Takes over what the file at `path` says; paths in it count from its folder.
fn read_file(config: &mut RunConfig, path: &Path, trust: Scope, must_exist: bool) -> Result<()> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => return Ok(()),
        Err(error) => {
            let message = Error::io("cannot read the configuration", error).to_string();
            return Err(Error::new(Kind::Usage, message));
        }
    }
    let usage = |message: String| Error::new(Kind::Usage, message);
    if bytes.len() as u64 > MAX_FILE {
        return Err(usage(format!("a configuration file is longer than {MAX_FILE} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| usage("the configuration is not valid UTF-8".into()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let line_number = text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count() + 1;
        usage(format!("line {line_number}: {}", error.message()))
    })?;
    let origin = Origin::File(path.to_owned());
    let folder = path.parent().unwrap_or(Path::new(""));
    for (name, value) in &table {
        let trusted = KEYS.iter().any(|key| key.name == name && key.scope == Scope::Trusted);
        if trusted && trust != Scope::Trusted {
            let place = "the user's configuration, --config, the environment or the command line";
            return Err(usage(format!("'{name}' is not taken from a project's file; say it in {place}")));
        }
        let values =
            texts(value).ok_or_else(|| usage(format!("'{name}' is a {}, expected a plain value", value.type_str())))?;
        let values: Vec<OsString> = values.into_iter().map(|text| placed(name, text, folder)).collect();
        config.set(name, &values, &origin)?;
    }
    Ok(())
}

/// A value, or the values of an array, as they would be written on the command line.
fn texts(value: &toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text.clone()]),
        toml::Value::Integer(number) => Some(vec![number.to_string()]),
        toml::Value::Float(number) => Some(vec![number.to_string()]),
        toml::Value::Boolean(switch) => Some(vec![switch.to_string()]),
        toml::Value::Datetime(time) => Some(vec![time.to_string()]),
        toml::Value::Array(values) => {
            let nested = values.iter().any(toml::Value::is_array);
            let all: Option<Vec<_>> = values.iter().map(texts).collect();
            all.filter(|_| !nested).map(|all| all.concat())
        }
        toml::Value::Table(_) => None,
    }
}

/// A path in a file counts from the file's folder; all else stays as it is.
fn placed(name: &str, text: String, folder: &Path) -> OsString {
    let is_path = match name {
        "model-config" | "cache" | "master" => true,
        // To a batch a template is a name below its own folder.
        "report" | "trace" | "detections" => !Template::has_place(OsStr::new(&text)),
        "roi" => matches!(value::region(&text), Ok(Region::Mask(_))),
        "model" => text.contains('/') || Path::new(&text).extension().is_some_and(|end| end == OsStr::new("onnx")),
        _ => false,
    };
    if is_path { folder.join(text).into_os_string() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{Deinterlace, Overwrite, Position};

    fn with_files(user: &str, project: &str, named: Option<&str>) -> (tempfile::TempDir, Layers) {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            Some(path)
        };
        let layers = Layers {
            user_file: place("user.toml", user),
            project_file: place("vproc.toml", project),
            named_file: named.and_then(|text| place("named.toml", text)),
            command_line: vec![("input", vec!["a.mp4".into()]), ("output", vec!["null:".into()])],
            ..Layers::default()
        };
        (folder, layers)
    }

    fn failure(user: &str, project: &str) -> String {
        let error = with_files(user, project, None).1.gather().unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        error.to_string()
    }

    #[test]
    fn the_stronger_layer_wins_and_is_remembered() {
        let user = "crf = 1\nthreads = 1\nworkers = 1\nmemory = \"1G\"\ntile = 64\nstrict = true";
        let project = "crf = 2\nthreads = 2\nworkers = 2\nmemory = \"2G\"";
        let (folder, mut layers) = with_files(user, project, Some("crf = 3.5\nthreads = 3\nworkers = 3"));
        layers.environment = vec![("VPROC_CRF".into(), "4".into()), ("VPROC_THREADS".into(), "4".into())];
        layers.environment.push(("VPROC_PRESET".into(), "".into()));
        layers.command_line.push(("crf", vec!["5".into()]));
        let config = layers.gather().unwrap();
        assert_eq!((config.crf, config.threads, config.workers), (Some(5.0), Some(4), Some(3)));
        assert_eq!((config.memory, config.tile), (Some(2 << 30), crate::config::Tile::Size(64)));
        assert_eq!(config.preset, None);
        let origins = ["crf", "threads", "workers", "memory", "strict", "engine"].map(|name| config.origin(name));
        let file = |name: &str| Origin::File(folder.path().join(name));
        let expected = [
            Origin::CommandLine,
            Origin::Environment,
            file("named.toml"),
            file("vproc.toml"),
            file("user.toml"),
            Origin::BuiltIn,
        ];
        assert_eq!(origins, expected);
    }

    #[test]
    fn toml_values_are_read_as_flags() {
        let text = "deinterlace = \"off\"\nencoder-opt = [\"qp=0\", \"tune=film\"]\nstart = 00:01:30\nend = 100\noverwrite = true";
        let config = with_files(text, "", None).1.gather().unwrap();
        assert_eq!(config.deinterlace, Deinterlace::Off);
        assert_eq!(config.encoder_options.len(), 2);
        assert_eq!(config.start, Some(Position::Time(90_000_000)));
        assert_eq!(config.overwrite, Overwrite::Yes);
    }

    #[test]
    fn a_wrong_file_is_a_usage_error_of_one_line() {
        assert!(failure("encodr = \"x\"", "").ends_with("user.toml: unknown key 'encodr'; did you mean 'encoder'?"));
        assert!(failure("", "a = 1\nb = = 2").contains("vproc.toml: line 2: "));
        assert!(failure("input = \"a\"", "").contains("command line only"));
        assert!(failure("", "overwrite = true").contains("not taken from a project's file"));
        assert!(failure("", "detections = \"d.jsonl\"").contains("not taken from a project's file"));
        assert!(failure("[encoder]\nname = 1", "").contains("'encoder' is a table"));
        assert!(failure("threads = -1", "").contains("threads: got '-1'"));
        assert!(failure(&"#".repeat(1 + (1 << 20)), "").contains("longer than"));
    }

    #[test]
    fn a_named_file_must_exist_and_the_others_need_not() {
        let nowhere = Some(PathBuf::from("/nonexistent/vproc.toml"));
        let command_line = vec![("input", vec!["a".into()]), ("output", vec!["null:".into()])];
        let layers =
            Layers { user_file: nowhere.clone(), project_file: nowhere.clone(), command_line, ..Layers::default() };
        assert!(layers.gather().is_ok());
        let layers = Layers { named_file: nowhere, ..layers };
        assert!(layers.gather().unwrap_err().to_string().ends_with("no such file or directory"));
    }

    #[test]
    fn paths_in_a_file_count_from_its_folder() {
        let (folder, layers) = with_files("model = \"nets/a.onnx\"\nreport = \"r.json\"", "", None);
        let config = layers.gather().unwrap();
        assert_eq!(config.model, folder.path().join("nets/a.onnx"));
        assert_eq!(config.report, Some(folder.path().join("r.json")));
        let text = "roi = [\"m.png\", \"0,0,9,9\"]\ntrace = \"t.json\"\nreport = \"{stem}.json\"";
        let (folder, layers) = with_files(text, "", None);
        let config = layers.gather().unwrap();
        assert_eq!(config.masks().collect::<Vec<_>>(), [folder.path().join("m.png")]);
        assert_eq!((config.trace, config.roi.len()), (Some(folder.path().join("t.json")), 2));
        assert_eq!(config.report, Some("{stem}.json".into()));
        let (folder, layers) =
            with_files("detections = \"d.jsonl\"\nclasses = [\"face\", \"1\"]\nscore = 0.5", "", None);
        let config = layers.gather().unwrap();
        assert_eq!(config.detections, Some(folder.path().join("d.jsonl")));
        assert_eq!((config.classes.len(), config.score), (2, Some(0.5)));
        let (_folder, layers) = with_files("model = \"identity\"", "", None);
        assert_eq!(layers.gather().unwrap().model, "identity");
    }

    #[test]
    fn a_misspelt_variable_is_a_warning() {
        let mut layers = with_files("", "", None).1;
        layers.environment =
            ["VPROC_LOG", "VPROC_TEST_SLOW", "VPROC_ENCODR", "HOME"].map(|n| (n.into(), "1".into())).into();
        let warnings = layers.gather().unwrap().warnings;
        assert_eq!(warnings, ["the variable VPROC_ENCODR says nothing to vproc; did you mean VPROC_ENCODER?"]);
        layers.environment = vec![("VPROC_THREADS".into(), "many".into())];
        assert!(layers.gather().unwrap_err().to_string().starts_with("VPROC_THREADS: got 'many'"));
    }
}
