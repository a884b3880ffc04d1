//! `vproc segment`: makes one segment of a run, wherever it is started. What is there already is not made again, so a
//! scheduler may start it as often as it likes, and twice at once.

use super::{adopt, asked, check_same, is_joined};
use crate::command::chain::{How, run_chain};
use crate::command::{prepare, print, print_json, run_grants};
use crate::config::{RunConfig, SegmentConfig};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;
use crate::measure::Opened;
use crate::pipeline;
use crate::pipeline::progress::Progress;
use crate::sandbox::Grants;
use crate::segment::folder::Folder;
use crate::segment::manifest::Manifest;
use crate::segment::one::{Excerpt, ExcerptSink};
use crate::sink::Sink;
use crate::sink::mux::Rehearsed;

/// Where schedulers tell a process its number, ours first.
const NUMBERS: [&str; 4] = ["VPROC_SEGMENT", "SLURM_ARRAY_TASK_ID", "HQ_TASK_ID", "JOB_COMPLETION_INDEX"];

/// One segment of a run that a manifest describes.
pub struct OneSegment {
    asked: SegmentConfig,
    run: RunConfig,
    folder: Folder,
    manifest: Manifest,
}

impl OneSegment {
    /// Reads the manifest.
    pub fn open(asked: SegmentConfig) -> Result<OneSegment> {
        let (folder, manifest, output) = super::open_manifest(&asked.manifest)?;
        let mut run = asked::config_of(&manifest, &output)?;
        (run.workers, run.memory) = (asked.workers, asked.memory);
        (run.progress, run.quiet) = (asked.progress, asked.quiet);
        Ok(OneSegment { run, folder: folder.shared(), manifest, asked })
    }

    /// What the process touches.
    pub fn grants(&self) -> Grants {
        run_grants(&self.run)
    }

    /// Makes the segment, or tells of all of them; the exit status.
    pub fn run(self) -> Result<u8> {
        if self.asked.list {
            return self.tell();
        }
        let number = self.number()?;
        let OneSegment { run, folder, manifest, asked } = self;
        if is_joined(&run, &manifest) {
            tracing::info!("{} is complete", run.output);
            return Ok(0);
        }
        if manifest.segments.get(&number).is_some_and(|done| folder.is_whole(number, done)) {
            tracing::info!("segment {number} is there");
            return Ok(0);
        }
        let first = number.saturating_mul(manifest.segment_frames);
        if let Some(end) = manifest.end.as_ref().filter(|end| first >= end.n_frames) {
            tracing::warn!("there is no segment {number}: the input ends after {} frames", end.n_frames);
            return Ok(0);
        }
        let config = adopt(&run, &manifest)?;
        let mut prepared = prepare::prepare(&config)?;
        check_same(&config, &prepared, &manifest)?;
        prepare::rehearse(&config, &mut prepared)?;
        let Some(Rehearsed { encoder, .. }) = prepared.rehearsed.take() else {
            return Err(Error::new(Kind::Internal, "a segment without an encoder"));
        };
        let past = super::past(&manifest);
        let job = prepare::job(&config, &prepared)?;
        let mut sink: Box<dyn Sink> =
            Box::new(ExcerptSink::new(job, folder, manifest.run(), number, encoder, past.clone()));
        let source = Excerpt::new(prepared.opened.source, past.clone(), number);
        prepared.opened = Opened { source: Box::new(source), ..prepared.opened };
        let mut progress = Progress::new(asked.progress, asked.quiet, Some(manifest.segment_frames));
        let (result, mut outcome) = run_chain(&mut prepared, How::default(), sink.as_mut(), &mut progress)?;
        progress.finish();
        result.context(|| config.input.to_string_lossy())?;
        if interrupt::requested().is_some() {
            sink.stop()?;
            return Err(Error::new(Kind::Interrupted, format!("segment {number} is not finished")));
        }
        let finished = pipeline::finish(sink, &mut outcome).context(|| format!("segment {number}"))?;
        match (finished.n_frames, past.end.get()) {
            (0, Some(end)) => {
                tracing::warn!("there is no segment {number}: the input ends after {} frames", end.n_frames);
            }
            (n, _) => tracing::info!("segment {number} is there, {n} frames"),
        }
        Ok(0)
    }

    /// The number that was said, or that a scheduler put into the environment.
    fn number(&self) -> Result<u64> {
        if let Some(number) = self.asked.number {
            return Ok(number);
        }
        let said = NUMBERS.iter().find_map(|name| Some((*name, std::env::var(name).ok()?)));
        let Some((name, text)) = said else {
            let message = format!("which segment? give its number, or set {}", NUMBERS.join(", "));
            return Err(Error::new(Kind::Usage, message));
        };
        text.parse().map_err(|_| Error::new(Kind::Usage, format!("{name}: got '{text}', expected a number from 0")))
    }

    /// Tells which segments there are, and which are made.
    fn tell(mut self) -> Result<u8> {
        if !is_joined(&self.run, &self.manifest) {
            self.folder.look(&mut self.manifest);
        }
        let manifest = &self.manifest;
        let n = manifest.n_segments();
        let missing: Vec<u64> = super::missing(manifest);
        if self.asked.json {
            print_json(&serde_json::json!({
                "segments": n,
                "segment_frames": manifest.segment_frames,
                "finished": manifest.segments.keys().collect::<Vec<_>>(),
                "missing": missing,
                "joined": is_joined(&self.run, manifest),
            }))?;
            return Ok(0);
        }
        let count = n.map_or_else(|| "an unknown number of".to_owned(), |n| n.to_string());
        let (finished, frames) = (manifest.segments.len(), manifest.segment_frames);
        print(format!("{finished} of {count} segments of {frames} frames are finished\n").as_bytes())?;
        Ok(0)
    }
}
