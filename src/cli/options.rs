//! The options as the parser, the help, the man page and the completions know them.
//!
//! Names are those of `config::KEYS`; values stay text here. The headings are the rows of the manual's table: what is
//! run, where, what comes out, what is said.

use std::ffi::OsString;

use clap::{ArgAction, Args, Parser, ValueEnum, ValueHint};

use super::commands::Command;
use super::groups::{Encoding, Input, Network, Place, Said, given_once, one_of};
use crate::config::ProgressMode;

/// Run a neural network over every frame of a video; all else in the file stays as it is
#[derive(Debug, Parser)]
#[command(
    name = "vproc",
    version,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
#[command(override_usage = "vproc INPUT -o OUTPUT [options]\n       vproc <COMMAND>")]
#[command(
    after_long_help = "Exit status: 0 done and verified; 1 failed, worth trying again; 2 usage; 3 done, but the \
    source was damaged; 4 input or network unusable; 130 SIGINT; 143 SIGTERM.\n\n\
    Configuration, weakest first: built in, $XDG_CONFIG_HOME/vproc/config.toml, ./vproc.toml, --config, \
    VPROC_<OPTION> (VPROC_ENCODER_OPT), command line. Keys of the files are the long options: `crf = 20`.\n\n\
    A file named like a command is written ./inspect."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: Run,
    #[command(flatten)]
    pub say: Say,
}

/// What `--generate` writes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Generate {
    Man,
    CompleteBash,
    CompleteZsh,
    CompleteFish,
}

/// The options of the main job.
#[derive(Args, Debug)]
pub struct Run {
    #[command(flatten)]
    pub input: Input,
    #[command(flatten)]
    pub network: Network,
    #[command(flatten)]
    pub place: Place,
    /// .mp4 .mkv .mov .webm .y4m NAME%06d.png '-' null: md5:
    #[arg(long_help = "A file (.mp4, .m4v, .mkv, .mov, .webm, .y4m), pictures as NAME%06d.png, '-' for y4m on \
        stdout, null: for nothing, md5: or md5:FILE for a hash a frame")]
    #[arg(short, long, value_name = "OUTPUT", value_hint = ValueHint::FilePath, help_heading = "Out")]
    #[arg(allow_hyphen_values = true)]
    output: Option<OsString>,
    #[command(flatten)]
    pub encoding: Encoding,
    /// Write the manifest that 'vproc segment' and 'vproc join' work from, tell where it is, and run nothing
    #[arg(long, help_heading = "Out", hide_short_help = true, conflicts_with_all = ["no_resume", "dry_run"])]
    manifest_only: bool,
    #[command(flatten)]
    conduct: Conduct,
    /// Write the man page or completions to stdout
    #[arg(long, value_name = "KIND", help_heading = "Say", exclusive = true, hide_short_help = true)]
    pub generate: Option<Generate>,
}

/// How runs deal with what is there, and what they tell.
#[derive(Args, Debug)]
#[command(next_help_heading = "Say")]
pub struct Conduct {
    /// Make the output in one go: an interrupted run begins anew
    #[arg(long, help_heading = "Out", hide_short_help = true)]
    no_resume: bool,
    /// Make segments of so many frames, however short the run is
    #[arg(long, value_name = "N", help_heading = "Out", hide_short_help = true, conflicts_with = "no_resume")]
    #[arg(allow_hyphen_values = true)]
    segment_frames: Option<OsString>,
    /// Replace an output that is there already
    #[arg(short = 'y', long, help_heading = "Out")]
    overwrite: bool,
    /// Never replace an output, whatever the configuration says
    #[arg(short = 'n', long, help_heading = "Out", conflicts_with = "overwrite", hide_short_help = true)]
    no_overwrite: bool,
    /// Write the result without loss (FFV1) into this file as well
    #[arg(long, value_name = "FILE.mkv", value_hint = ValueHint::FilePath, help_heading = "Out", hide_short_help = true)]
    master: Option<OsString>,
    /// Stop at the first damaged frame
    #[arg(long, help_heading = "Out", hide_short_help = true)]
    strict: bool,

    /// Print the plan and run nothing
    #[arg(long, help_heading = "Say")]
    dry_run: bool,
    /// How progress is told; json is an object a line on stderr
    #[arg(long, value_name = "auto|json|none", help_heading = "Say", hide_short_help = true)]
    #[arg(value_parser = one_of(ProgressMode::NAMES), hide_possible_values = true)]
    progress: Option<OsString>,
    /// Write a report: .json for programs, .html for people
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Say")]
    report: Option<OsString>,
    /// Write what every thread did when, for Perfetto or chrome://tracing
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Say", hide_short_help = true)]
    trace: Option<OsString>,
    /// Write what is found, an object a line for each frame: boxes, scores, classes, tracks
    #[arg(long, value_name = "FILE.jsonl", value_hint = ValueHint::FilePath, help_heading = "Say", hide_short_help = true)]
    detections: Option<OsString>,
}

/// How much is said, for every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Say")]
pub struct Say {
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for debugging
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

impl Run {
    /// What was said, by the names of `config::KEYS`.
    pub fn said(self, say: &Say) -> Said {
        let only = given(self.manifest_only, "true");
        let own = given_once([("output", self.output), ("manifest-only", only)]);
        let groups = [self.input.said(), self.network.said(), self.place.said(), self.encoding.said()];
        groups.into_iter().flatten().chain(own).chain(self.conduct.said()).chain(say.said()).collect()
    }
}

impl Conduct {
    /// What was said, by the names of `config::KEYS`.
    pub fn said(self) -> Said {
        let overwrite = given(self.overwrite, "true").or(given(self.no_overwrite, "never"));
        given_once([
            ("master", self.master),
            ("no-resume", given(self.no_resume, "true")),
            ("segment-frames", self.segment_frames),
            ("overwrite", overwrite),
            ("strict", given(self.strict, "true")),
            ("dry-run", given(self.dry_run, "true")),
            ("progress", self.progress),
            ("report", self.report),
            ("trace", self.trace),
            ("detections", self.detections),
        ])
    }
}

impl Say {
    /// What was said, by the names of `config::KEYS`.
    pub fn said(&self) -> Said {
        given_once([
            ("quiet", given(self.quiet, "true")),
            ("verbose", given(self.verbose > 0, &self.verbose.to_string())),
        ])
    }
}

/// The text of a switch that was given.
fn given(switch: bool, text: &str) -> Option<OsString> {
    switch.then(|| OsString::from(text))
}
