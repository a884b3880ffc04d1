//! What was asked of a run, as its manifest keeps it for processes that make one segment of it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::config::{KEYS, OF_THE_RUN, Origin, Output, RunConfig, Scope};
use crate::error::{Context, Error, Kind, Result};
use crate::segment::manifest::Manifest;

/// Options that, beside those of the run, decide nothing about a segment or stand elsewhere in the manifest.
const LEFT_OUT: &[&str] = &["output", "verify-skip", "manifest-only", "master"];

/// The options that were said, with files from the root; `None` if one cannot be written as text.
pub fn asked(config: &RunConfig) -> Option<Vec<(String, Vec<String>)>> {
    let said = config.in_order().filter(|(name, _)| !LEFT_OUT.contains(name) && !OF_THE_RUN.contains(name));
    let texts = |name: &str, values: &[OsString]| -> Option<Vec<String>> {
        values.iter().map(|value| placed(config, name, value).into_string().ok()).collect()
    };
    said.map(|(name, said)| Some((name.to_owned(), texts(name, &said.values)?))).collect()
}

/// A value, from the root if it names a file.
fn placed(config: &RunConfig, name: &str, value: &OsStr) -> OsString {
    let is_file = match name {
        "model" => config.model_file().is_some(),
        "input" | "model-config" | "roi" => Path::new(value).is_file(),
        _ => false,
    };
    let path = is_file.then(|| std::path::absolute(value).ok()).flatten();
    path.map_or_else(|| value.to_owned(), OsString::from)
}

/// The options of the run that `manifest` is of, for `output`.
pub fn config_of(manifest: &Manifest, output: &Path) -> Result<RunConfig> {
    let Some(asked) = &manifest.asked else {
        let message = "the manifest is of a run with a file name that is not UTF-8; name the files otherwise";
        return Err(Error::new(Kind::Usage, message));
    };
    let mut config = RunConfig::default();
    for (name, values) in asked {
        let values: Vec<OsString> = values.iter().map(OsString::from).collect();
        // Where it can be, not the command line of this process: what a network does not take was passed over by the run
        // as well, or it would have been refused before it made a manifest.
        let is_of_command_line = KEYS.iter().any(|key| key.name == name && key.scope == Scope::CommandLine);
        let origin = if is_of_command_line { Origin::CommandLine } else { Origin::Environment };
        config.set(name, &values, &origin).context(|| "the manifest")?;
    }
    config.set("output", &[output.into()], &Origin::CommandLine)?;
    match config.output {
        Output::File(_) => config.check().map(|()| config),
        _ => Err(Error::new(Kind::Usage, format!("{} is no file of a container", output.display()))),
    }
}
