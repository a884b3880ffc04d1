//! `vproc join`: makes the output of segments that `vproc segment` has made. Called again it finds the output complete.

use std::sync::Arc;

use super::{adopt, asked, check_same, is_joined, missing};
use crate::command::account::STATUS_DAMAGED;
use crate::command::outputs;
use crate::command::prepare::{self, describe};
use crate::command::run_grants;
use crate::config::{JoinConfig, Overwrite, RunConfig};
use crate::error::{Context, Error, Kind, Result};
use crate::sandbox::Grants;
use crate::segment::folder::Folder;
use crate::segment::join::join;
use crate::segment::manifest::Manifest;
use crate::sink::disk::System;
use crate::sink::part::PartFile;

/// Numbers of segments that a message names at most.
const NAMED: usize = 8;

/// What to do about a missing one.
const HINT: &str = "'vproc segment MANIFEST NUMBER' makes one";

/// A run whose segments are to be joined.
pub struct Join {
    run: RunConfig,
    folder: Folder,
}

impl Join {
    /// Reads the manifest.
    pub fn open(asked: &JoinConfig) -> Result<Join> {
        let (folder, manifest, output) = super::open_manifest(&asked.manifest)?;
        let mut run = asked::config_of(&manifest, &output)?;
        if asked.overwrite {
            run.overwrite = Overwrite::Yes;
        }
        run.quiet = asked.quiet;
        Ok(Join { run, folder })
    }

    /// What the process touches.
    pub fn grants(&self) -> Grants {
        run_grants(&self.run)
    }

    /// Joins; the exit status.
    pub fn run(self) -> Result<u8> {
        let Join { run, folder } = self;
        let gone = || Error::new(Kind::Usage, format!("{} is gone", folder.manifest().display()));
        let status = |n_lost: u64| if n_lost > 0 { STATUS_DAMAGED } else { 0 };
        let manifest = folder.load()?.ok_or_else(gone)?;
        if is_joined(&run, &manifest) {
            tracing::info!("{} is complete", run.output);
            return Ok(status(manifest.n_lost()));
        }
        outputs::check(&run)?;
        let path = run.output.path().ok_or_else(|| Error::new(Kind::Internal, "the output is no file"))?;
        // From here on nobody else joins.
        let part = PartFile::create_on(Arc::new(System), path)?;
        let mut manifest = folder.load()?.ok_or_else(gone)?;
        folder.check(&mut manifest);
        let result = check_all(&manifest).and_then(|()| {
            let config = adopt(&run, &manifest)?;
            let prepared = prepare::prepare(&config)?;
            check_same(&config, &prepared, &manifest)?;
            prepare::job(&config, &prepared)
        });
        let job = match result {
            Ok(job) => job,
            Err(error) => {
                part.discard()?;
                return Err(error);
            }
        };
        let end = manifest.end.clone().unwrap_or_default();
        let finished = join(job, part, &folder, manifest).context(|| describe(&run.output))?;
        if let Err(error) = folder.strip() {
            tracing::warn!("the output is complete, but its segments are still there: {error}");
        }
        for warning in end.warnings.iter().chain(&finished.warnings) {
            tracing::warn!("{warning}");
        }
        end.damage.iter().for_each(|line| tracing::warn!("damaged source: {line}"));
        let n_lost = end.n_damaged.max(finished.missing) + finished.lost_packets;
        if !run.quiet {
            eprintln!("{}: {} frames, verified", run.output, finished.n_frames);
        }
        Ok(status(n_lost))
    }
}

/// All segments must be there.
fn check_all(manifest: &Manifest) -> Result<()> {
    let missing = missing(manifest);
    match (missing.as_slice(), &manifest.end) {
        ([], Some(end)) => match manifest.contradiction(end) {
            None => Ok(()),
            Some(what) => {
                let why = "a damaged input may be decoded differently each time";
                Err(Error::new(Kind::Decode, format!("{what}; {why}, so make the output in one go: --no-resume")))
            }
        },
        ([], None) => {
            let next = manifest.segments.keys().next_back().map_or(0, |last| last + 1);
            let message =
                format!("no segment has come to the input's end yet, so there is a segment {next} too; {HINT}");
            Err(Error::new(Kind::Io, message))
        }
        (missing, _) => {
            let named: Vec<String> = missing.iter().take(NAMED).map(u64::to_string).collect();
            let more = if missing.len() > NAMED { ", ..." } else { "" };
            let message = format!(
                "segments are missing or not what they were, {} in all: {}{more}; {HINT}",
                missing.len(),
                named.join(", ")
            );
            Err(Error::new(Kind::Io, message))
        }
    }
}
