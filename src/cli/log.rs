//! What is said on stderr while the program works: warnings, and on request information and debugging.
//!
//! `tracing` events become lines like those of errors. `VPROC_LOG` takes the filter of `tracing-subscriber`
//! (`debug`, `vproc::plan=trace`) and wins over `-q` and `-v`. A progress line on the terminal is cleared first.

use std::fmt;
use std::io::{self, Write};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::error::{Error, Kind, Result};
use crate::pipeline::progress;

/// Says from now on what the person wants to hear; `verbose` counts as in the configuration.
pub fn start(quiet: bool, verbose: u8) -> Result<()> {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "warn,vproc=info",
        (false, 2) => "warn,vproc=debug",
        (false, _) => "debug,vproc=trace",
    };
    let wanted = std::env::var("VPROC_LOG").unwrap_or_default();
    let filter = EnvFilter::try_new(if wanted.is_empty() { level } else { &wanted }).map_err(|error| {
        Error::new(Kind::Usage, format!("VPROC_LOG: got '{wanted}', expected a filter such as debug: {error}"))
    })?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).event_format(Line).with_writer(|| Stderr);
    // A second call, in tests, keeps the first.
    let _ = subscriber.try_init();
    Ok(())
}

/// Writes `text` as a line of the program's on stderr; a closed stderr is nobody's fault.
pub fn line(text: impl fmt::Display) {
    let mut stderr = io::stderr().lock();
    progress::clear();
    let _ = writeln!(stderr, "vproc: {text}");
}

/// `vproc: warning: message key=value`.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        write!(writer, "vproc: {level}: ")?;
        // Which of several files it is about.
        for span in ctx.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                write!(writer, "{fields}: ")?;
            }
        }
        ctx.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// stderr, with the progress line out of the way.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Locked over both, so that no progress line comes between.
        let mut stderr = io::stderr().lock();
        progress::clear();
        stderr.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
