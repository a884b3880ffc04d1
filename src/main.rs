//! `vproc`: the command line is taken apart, what it does not need is given up, the command runs, and the exit status
//! tells what came of it. Every failure, a panic too, is one line on stderr.

use std::error::Error as _;
use std::io;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use vproc::cli::{self, Invocation, Parsed, log};
use vproc::command::Row;
use vproc::error::{Error, Kind, Result};
use vproc::sandbox::{self, Grants};
use vproc::simd::cpu::Level;
use vproc::{av, command, fatal, interrupt};

/// Where memory is refused, the program says so as it says everything else.
#[global_allocator]
static MEMORY: fatal::Checked = fatal::Checked;

/// Whether a thread has panicked, and its line has been said.
static PANICKED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    panic::set_hook(Box::new(report_panic));
    let status = match panic::catch_unwind(AssertUnwindSafe(start)) {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => failed(&error),
        Err(_) => 1,
    };
    let status = if status == 0 && PANICKED.load(Ordering::Relaxed) { 1 } else { status };
    ExitCode::from(status)
}

fn start() -> Result<u8> {
    let Parsed { invocation, quiet, verbose } = cli::parse(std::env::args_os())?;
    log::start(quiet, verbose)?;
    Level::check_environment()?;
    av::quiet_encoders();
    match invocation {
        Invocation::Print(text) => command::print(&text).map(|()| 0),
        Invocation::Run(config) => {
            config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            confine(&command::run_grants(&config));
            watch()?;
            command::run(&config)
        }
        Invocation::Batch(config) => {
            config.run.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            let batch = command::Batch::open(*config)?;
            confine(&batch.grants());
            watch()?;
            batch.run()
        }
        Invocation::Segment(asked) => {
            let segment = command::OneSegment::open(asked)?;
            confine(&segment.grants());
            watch()?;
            segment.run()
        }
        Invocation::Join(asked) => {
            let join = command::Join::open(&asked)?;
            confine(&join.grants());
            watch()?;
            join.run()
        }
        Invocation::Row { config, spec } => {
            let row = Row::new(&config, &spec)?;
            confine(&row.grants());
            watch()?;
            row.run()
        }
        Invocation::Bench(config) => watch().and_then(|()| command::bench(&config)),
        Invocation::Tune(config) => watch().and_then(|()| command::tune(&config)),
        Invocation::BenchCompare { a, b } => command::bench_compare(&a, &b),
        Invocation::Inspect { file, json } => {
            confine(&command::inspect_grants(&file));
            command::inspect(&file, json)
        }
        Invocation::Compare { a, b, min_psnr, json } => {
            let mut grants = command::input_grants(&a);
            grants.read.extend(command::input_grants(&b).read);
            confine(&grants);
            command::compare(&a, &b, min_psnr, json)
        }
        Invocation::Cache { act, folder, size, json } => {
            confine(&command::cache_grants(folder.as_deref()));
            command::cache(act, folder.as_deref(), size, json)
        }
        Invocation::Models { json } => command::models(json),
    }
}

/// Takes signals from now on.
fn watch() -> Result<()> {
    interrupt::watch(|| log::line("stopping after the frames under way; once more stops at once"))
}

/// Gives up what the command does not need, before any thread starts.
fn confine(grants: &Grants) {
    let status = sandbox::apply(grants);
    tracing::debug!("sandbox {status}");
}

/// Says why the program fails, and how its status tells it.
fn failed(error: &Error) -> u8 {
    let is_pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    // A reader that has gone away needs no message, and a panic has had its own.
    let quiet = error.source().and_then(|source| source.downcast_ref()).is_some_and(is_pipe)
        || (error.kind() == Kind::Internal && PANICKED.load(Ordering::Relaxed));
    if !quiet {
        log::line(format_args!("error: {error}"));
    }
    match interrupt::requested().filter(|_| error.kind() == Kind::Interrupted) {
        Some(signal) => signal.exit_status(),
        None => error.exit_status(),
    }
}

/// One line for the first panic, whichever thread it is in.
fn report_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("panic").replace(['\n', '\r'], " ");
    if !PANICKED.swap(true, Ordering::Relaxed) {
        let place = info.location().map_or_else(String::new, |place| format!(" ({}:{})", place.file(), place.line()));
        log::line(format_args!("error: internal error: {message}{place}; please report"));
    }
}
