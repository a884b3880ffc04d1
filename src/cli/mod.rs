//! The command line: taken apart into an [`Invocation`], the only thing the rest of the program sees of it.
//!
//! Options are passed on as text to `config`, which alone knows what they mean; the parser checks names and
//! choices, so that `--help`, the man page and the completions know them. Nothing here opens an input.

mod commands;
mod groups;
pub mod log;
mod options;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};
use clap_mangen::Man;

use crate::config::value::{cache_size, number};
use crate::config::{BatchConfig, BenchConfig, CacheAct, JoinConfig, Layers, RunConfig, SegmentConfig, TuneConfig};
use crate::error::{Context, Error, Kind, Result};
use commands::Command;
use groups::Network;
use options::{Cli, Generate};

/// What the person asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Runs a network over a video.
    Run(Box<RunConfig>),
    /// Tells what is in a file.
    Inspect {
        /// A video or a network.
        file: OsString,
        /// The result is one JSON object.
        json: bool,
    },
    /// Compares two videos.
    Compare {
        /// The one.
        a: OsString,
        /// The other.
        b: OsString,
        /// The least PSNR of any plane, in dB, for which they count as equal; `None` asks for identical frames.
        min_psnr: Option<f64>,
        /// The result is one JSON object.
        json: bool,
    },
    /// Lists the built-in networks.
    Models {
        /// The list is one JSON object.
        json: bool,
    },
    /// Runs a network over many videos.
    Batch(Box<BatchConfig>),
    /// Makes one segment of a run.
    Segment(SegmentConfig),
    /// Joins the segments of a run.
    Join(JoinConfig),
    /// Measures this machine.
    Bench(Box<BenchConfig>),
    /// Tells what changed between two results of `bench`.
    BenchCompare {
        /// The one file.
        a: PathBuf,
        /// The other.
        b: PathBuf,
    },
    /// Finds fast settings for a video.
    Tune(Box<TuneConfig>),
    /// One measurement of `bench` or `tune`, which start the program for each.
    Row {
        /// The options of the run that is measured.
        config: Box<RunConfig>,
        /// What is measured, as JSON.
        spec: OsString,
    },
    /// Tells what is in a cache, checks it, or empties it.
    Cache {
        /// What is done.
        act: CacheAct,
        /// The cache's folder; the user's without one.
        folder: Option<PathBuf>,
        /// The size of the emptied cache, in bytes.
        size: Option<u64>,
        /// The result is one JSON object.
        json: bool,
    },
    /// Text to be printed as it is: help, version, man page, completions.
    Print(Vec<u8>),
}

/// An invocation and how much is said while it runs.
#[derive(Debug)]
pub struct Parsed {
    /// What the person asks for.
    pub invocation: Invocation,
    /// Nothing but errors is said.
    pub quiet: bool,
    /// How much is said beyond warnings: 1 information, 2 debugging, 3 everything.
    pub verbose: u8,
}

/// Takes `arguments`, the program's name first, apart; reads the configuration files and the environment for a run.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.len() <= 1 {
        return Err(Error::new(Kind::Usage, "nothing to do; try 'vproc INPUT -o OUTPUT', or 'vproc --help'"));
    }
    let arguments = command_first(arguments);
    let is_other = arguments.get(1).is_some_and(is_command);
    let parsed = Cli::command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Parsed {
                invocation: Invocation::Print(error.to_string().into_bytes()),
                quiet: false,
                verbose: 0,
            });
        }
        Err(error) => {
            let message = several(&error).filter(|_| !is_other).unwrap_or_else(|| one_line(&error));
            return Err(Error::new(Kind::Usage, message));
        }
    };
    let (mut quiet, mut verbose) = (cli.say.quiet, cli.say.verbose);
    let invocation = match (cli.command, cli.run.generate) {
        (Some(Command::Inspect { file, json }), _) => Invocation::Inspect { file, json },
        (Some(Command::Compare { a, b, min_psnr, json }), _) => {
            let min_psnr = min_psnr.as_deref().map(number).transpose().context(|| "--min-psnr")?;
            Invocation::Compare { a, b, min_psnr, json }
        }
        (Some(Command::Models { json }), _) => Invocation::Models { json },
        (Some(Command::Cache { act, cache, cache_size: size, json }), _) => {
            let size = size.as_deref().map(cache_size).transpose().context(|| "--cache-size")?;
            Invocation::Cache { act, folder: cache, size, json }
        }
        (Some(Command::Batch(batch)), _) => {
            let config = batch.asked(cli.say.said())?;
            (quiet, verbose) = (config.run.quiet, config.run.verbose);
            Invocation::Batch(Box::new(config))
        }
        (Some(Command::Segment(segment)), _) => Invocation::Segment(segment.asked(quiet)?),
        (Some(Command::Join { manifest, overwrite }), _) => Invocation::Join(JoinConfig { manifest, overwrite, quiet }),
        (Some(Command::Bench(bench)), _) => bench.asked(cli.say.said())?,
        (Some(Command::Tune(tune)), _) => tune.asked(cli.say.said())?,
        (None, Some(kind)) => Invocation::Print(generated(kind)?),
        (None, None) => {
            let mut layers = layers(&cli.run.network);
            layers.command_line = cli.run.said(&cli.say);
            let config = layers.gather()?;
            (quiet, verbose) = (config.quiet, config.verbose);
            Invocation::Run(Box::new(config))
        }
    };
    Ok(Parsed { invocation, quiet, verbose })
}

/// The arguments with the name of a command before what is said of how much to say, as the parser wants it.
fn command_first(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_say = |argument: &&OsString| match argument.to_str() {
        Some("--quiet" | "--verbose") => true,
        Some(text) => text.strip_prefix('-').is_some_and(|flags| !flags.is_empty() && flags.bytes().all(is_say_flag)),
        None => false,
    };
    let n = arguments.iter().skip(1).take_while(is_say).count();
    if n > 0 && arguments.get(1 + n).is_some_and(is_command) {
        arguments[1..2 + n].rotate_right(1);
    }
    arguments
}

fn is_command(name: &OsString) -> bool {
    Cli::command().get_subcommands().any(|command| name == command.get_name())
}

fn is_say_flag(letter: u8) -> bool {
    matches!(letter, b'q' | b'v')
}

/// The places where options are said, but for the command line.
fn layers(network: &Network) -> Layers {
    let (named_file, with_files) = network.files();
    Layers { named_file, ..Layers::of_process(with_files) }
}

/// The man page or the completions of a shell.
fn generated(kind: Generate) -> Result<Vec<u8>> {
    use clap_complete::{Shell, generate};
    let mut command = Cli::command();
    let mut text = Vec::new();
    match kind {
        Generate::Man => {
            text = manual(command).map_err(|error| Error::io("cannot write the man page", error))?;
        }
        Generate::CompleteBash => generate(Shell::Bash, &mut command, "vproc", &mut text),
        Generate::CompleteZsh => generate(Shell::Zsh, &mut command, "vproc", &mut text),
        Generate::CompleteFish => generate(Shell::Fish, &mut command, "vproc", &mut text),
    }
    Ok(text)
}

/// The man page of the main job, with a section for each of the other commands.
fn manual(mut command: clap::Command) -> io::Result<Vec<u8>> {
    command.build();
    let mut text = Vec::new();
    Man::new(command.clone()).render(&mut text)?;
    for other in command.get_subcommands().filter(|other| !other.is_hide_set()) {
        let page = Man::new(other.clone());
        let mut section = Vec::new();
        page.render_synopsis_section(&mut section)?;
        page.render_description_section(&mut section)?;
        page.render_options_section(&mut section)?;
        writeln!(text, ".SH \"VPROC {}\"", other.get_name().to_uppercase())?;
        // What is a section in a page of its own is a part of one here.
        text.extend(String::from_utf8_lossy(&section).replace("\n.SH ", "\n.SS ").bytes());
    }
    Ok(text)
}

/// What is said where a shell has made several names of a glob.
fn several(error: &clap::Error) -> Option<String> {
    let name = match (error.kind(), error.get(ContextKind::InvalidSubcommand), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::ArgumentConflict, Some(ContextValue::String(name)), _) => name,
        (ErrorKind::UnknownArgument, _, Some(ContextValue::String(name))) => name,
        _ => return None,
    };
    let is_name = !name.starts_with('-') && Cli::command().find_subcommand(name).is_none();
    let hint = "several go through 'vproc batch INPUT... -o DIR'";
    is_name.then(|| format!("one input is taken, and there is also '{name}'; {hint}"))
}

/// The parser's message without its usage, on one line.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let told: Vec<&str> =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")).collect();
    let message = told.join("; ");
    let message = message.strip_prefix("error: ").unwrap_or(&message).replace(":;", ":");
    format!("{message}; see 'vproc --help'")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{KEYS, Origin, Output, Overwrite, PictureSize, Position, ProgressMode, SkipMode, Task};

    fn parsed(line: &str) -> Result<Parsed> {
        parse(std::iter::once("vproc").chain(line.split_whitespace()).map(OsString::from))
    }

    fn run(line: &str) -> RunConfig {
        match parsed(&format!("--no-config {line}")).unwrap().invocation {
            Invocation::Run(config) => *config,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_parser_is_sound_and_knows_every_key() {
        Cli::command().debug_assert();
        let longs: BTreeSet<String> =
            Cli::command().get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)).collect();
        for key in KEYS.iter().filter(|key| key.name != "input") {
            assert!(longs.contains(key.name), "--{} is missing", key.name);
        }
    }

    #[test]
    fn the_main_job_is_the_default_command() {
        let line = "in.mp4 -o out.mkv -m identity --model-config n.toml --strength 0.5 --video-stream 2 --start 1:00 --end 120.5 \
            --frames 7 --fps 23.976 --deinterlace bwdif --engine ort --precision f32 --device cpu --threads 4 \
            --workers 2 --memory 6G --tile 64 --batch 4 --encoder libx264 --crf 20 --preset fast --encoder-opt a=1 \
            --encoder-opt b=2:c=3 --pix-fmt yuv420p --size 640x -y --strict -q -vv --dry-run --progress json --report r.json \
            --latency 200ms --cpu-affinity 0 --trace t.json --protocol https --protocol tls --skip near --skip-psnr 45.5 \
            --verify-skip 3 --roi 10%,0,50,60 --roi m.png --debug-overlay \
            --cache c --cache-size 64M --no-cache --master m.mkv --task blur --score 0.4 \
            --classes face,person --classes 7 --detections d.jsonl";
        let config = run(line);
        assert_eq!((config.input.to_str(), config.model.to_str()), (Some("in.mp4"), Some("identity")));
        assert_eq!(config.output, Output::File("out.mkv".into()));
        assert_eq!((config.start, config.end), (Some(Position::Time(60_000_000)), Some(Position::Time(120_500_000))));
        assert_eq!((config.frames, config.memory, config.crf), (Some(7), Some(6 << 30), Some(20.0)));
        assert_eq!(config.encoder_options.len(), 3);
        assert_eq!((config.size, config.batch), (Some(PictureSize::Width(640)), Some(4)));
        assert_eq!(config.protocols, ["https", "tls"]);
        assert_eq!((config.skip, config.skip_psnr, config.verify_skip), (SkipMode::Near, 45.5, Some(3)));
        assert_eq!((config.roi.len(), config.debug_overlay), (2, true));
        assert_eq!((config.task, config.score, config.classes.len()), (Task::Blur, Some(0.4), 3));
        assert_eq!(config.detections, Some("d.jsonl".into()));
        assert_eq!((config.cache, config.cache_size, config.no_cache), (Some("c".into()), Some(64 << 20), true));
        let config = run(line);
        assert_eq!((config.overwrite, config.progress), (Overwrite::Yes, ProgressMode::Json));
        assert_eq!((config.strict, config.quiet, config.verbose, config.dry_run), (true, true, 2, true));
        // Each of these excludes others of the line.
        let apart = ["no-resume", "manifest-only", "segment-frames"];
        for key in KEYS.iter().filter(|key| !apart.contains(&key.name)) {
            assert_eq!(config.origin(key.name), Origin::CommandLine, "{}", key.name);
        }
        assert_eq!(run("in.mp4 -o out.mkv --segment-frames 100").segment_frames, Some(100));
        assert!(run("a -o b.mkv --no-resume").no_resume);
        assert!(run("a -o b.mkv --manifest-only").manifest_only);
    }

    #[test]
    fn input_has_a_synonym_and_a_subcommand_is_no_file() {
        assert_eq!(run("-i inspect -o null:").input, "inspect");
        assert_eq!(run("./inspect -o null:").input, "./inspect");
        assert_eq!(run("-o - -n -").output, Output::Stdout);
        assert_eq!(run("a -o md5: -n").overwrite, Overwrite::Never);
        assert!(
            matches!(parsed("inspect a.mp4").unwrap().invocation, Invocation::Inspect { file, json: false } if file == "a.mp4")
        );
        assert!(matches!(parsed("models --json").unwrap().invocation, Invocation::Models { json: true }));
        let compare = parsed("compare a b --min-psnr 40.5 -v").unwrap();
        assert!(matches!(compare.invocation, Invocation::Compare { min_psnr: Some(40.5), json: false, .. }));
        assert_eq!(compare.verbose, 1);
    }

    #[test]
    fn how_much_is_said_may_stand_before_a_command() {
        let models = parsed("-q models").unwrap();
        assert!(models.quiet && matches!(models.invocation, Invocation::Models { json: false }));
        let compare = parsed("-v --verbose compare a b").unwrap();
        assert!(compare.verbose == 2 && matches!(compare.invocation, Invocation::Compare { .. }));
        let batch = parsed("-vv batch in -o out --no-config").unwrap();
        assert!(batch.verbose == 2 && matches!(batch.invocation, Invocation::Batch(_)));
        // Other options say what the main job does, and a file may be called like a command.
        assert!(parsed("--no-config batch in -o out").is_err());
        for line in ["-v -i batch -o null: --no-config", "-v --no-config -o null: -- batch"] {
            let Invocation::Run(config) = parsed(line).unwrap().invocation else { panic!("{line}") };
            assert_eq!((config.input.to_str(), config.verbose), (Some("batch"), 1), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_is_a_usage_error_of_one_line() {
        for line in [
            "",
            "in.mp4",
            "-o out.mp4",
            "in.mp4 -o out.xyz",
            "in.mp4 -o out.mp4 --crf x",
            "in.mp4 -o out.mp4 --encodr x",
            "in.mp4 -o out.mp4 --device gpu",
            "in.mp4 -o out.mp4 -y -n",
            "in.mp4 -o out.mp4 --no-resume --segment-frames 100",
            "in.mp4 -o out.mp4 --segment-frames 1",
            "in.mp4 -i in.mp4 -o out.mp4",
            "in.mp4 second.mp4 -o out.mp4",
            "in.mp4 -o out.mp4 --config /nonexistent.toml",
            "in.mp4 -o out.mp4 --start",
            "inspect",
            "compare a",
            "compare a b --min-psnr -1",
            "compare a b --min-psnr x",
            "--generate pdf",
        ] {
            let error = parsed(line).unwrap_err();
            assert_eq!((error.kind(), error.exit_status()), (Kind::Usage, 2), "{line}");
            let message = error.to_string();
            assert!(
                !message.contains('\n') && !message.contains("Usage:") && !message.starts_with("error"),
                "{message}"
            );
        }
        let message = parsed("in.mp4 -o out.mp4 --encodr x").unwrap_err().to_string();
        assert!(message.contains("--encoder"), "{message}");
    }

    #[test]
    fn names_need_not_be_utf8() {
        use std::os::unix::ffi::OsStringExt;
        let name = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let arguments = ["vproc", "--no-config", "-o"].map(OsString::from).into_iter();
        let parsed = parse(arguments.chain([name(b"\xffout.mkv"), name(b"in\n\xfe.mp4")])).unwrap();
        let Invocation::Run(config) = parsed.invocation else { panic!() };
        assert_eq!(config.input, name(b"in\n\xfe.mp4"));
        assert_eq!(config.output.path().unwrap().as_os_str(), name(b"\xffout.mkv"));
    }

    #[test]
    fn what_is_generated_names_the_options() {
        for kind in ["man", "complete-bash", "complete-zsh", "complete-fish"] {
            let Invocation::Print(text) = parsed(&format!("--generate {kind}")).unwrap().invocation else { panic!() };
            let text = String::from_utf8(text).unwrap().replace('\\', "");
            assert!(text.contains("encoder-opt") && text.contains("inspect"), "{kind}");
        }
    }

    #[test]
    fn the_short_help_fits_a_screen() {
        let Invocation::Print(text) = parsed("-h").unwrap().invocation else { panic!() };
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().count() <= 48, "{} lines", text.lines().count());
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        for heading in ["What:", "Where:", "Out:", "Say:"] {
            assert!(text.contains(heading), "{heading}");
        }
    }
}
