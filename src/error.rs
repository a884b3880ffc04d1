//! The one error type of the program.
//!
//! A room makes an [`Error`] with [`Error::new`] where it knows what went wrong; the rooms above add what they alone
//! know (the stage, the path, the frame) with [`Error::context`]. The message says what, got, expected and what to
//! try, in lower case, without a full stop. Nothing here prints and nothing here decides whether to go on.

use std::fmt;

use rustix::io::Errno;

/// The result of everything in this program that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure it was, as far as anyone may want to branch on it. Decides the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The command line or the configuration asks for something that cannot be.
    Usage,
    /// The input cannot be used, now or ever.
    Input,
    /// The network cannot be used, now or ever.
    Network,
    /// A library that is opened at run time is missing or refuses to work.
    Library,
    /// The operating system refused to read, to write, or to give memory.
    Io,
    /// No space is left where the output goes.
    DiskFull,
    /// The decoder gave up.
    Decode,
    /// The encoder or the muxer gave up.
    Encode,
    /// The engine that runs the network gave up.
    Infer,
    /// What was written is not what should have been written.
    Verify,
    /// A person or the system asked the program to stop.
    Interrupted,
    /// An invariant of the program does not hold: a defect in vproc.
    Internal,
}

/// A failure: its kind, what happened, and where.
pub struct Error {
    kind: Kind,
    message: String,
    context: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure of `kind`, described by `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), context: Vec::new(), source: None }
    }

    /// A failure of the operating system while doing `what`; a full disk is told apart.
    pub fn io(what: impl fmt::Display, source: std::io::Error) -> Self {
        let full = matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        let kind = if full { Kind::DiskFull } else { Kind::Io };
        let hint = if full { "; free some space and run the same command again" } else { "" };
        Error::new(kind, format!("{what}: {}{hint}", plain(&source))).with_source(source)
    }

    /// A file named to be read cannot be opened: one that is not there, or is none, is unusable for good; else the
    /// operating system failed.
    pub fn open(name: impl fmt::Display, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{InvalidFilename, IsADirectory, NotADirectory, NotFound, PermissionDenied};
        let is_final = match source.kind() {
            NotFound | PermissionDenied | IsADirectory | NotADirectory | InvalidFilename => true,
            // Links in a circle, and what cannot be read at all, such as a socket.
            _ => matches!(Errno::from_io_error(&source), Some(Errno::LOOP | Errno::NXIO)),
        };
        let error = Error::io(format!("open {name}"), source);
        if is_final { Error { kind: Kind::Input, ..error } } else { error }
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Puts `what` (a stage, a path, a frame) before the message.
    #[must_use]
    pub fn context(mut self, what: impl Into<String>) -> Self {
        self.context.push(what.into());
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The exit status that tells a caller who is to blame and whether a retry can help.
    pub fn exit_status(&self) -> u8 {
        match self.kind {
            Kind::Usage => 2,
            Kind::Input | Kind::Network => 4,
            Kind::Interrupted => 130,
            _ => 1,
        }
    }
}

/// The system's message without its "(os error N)".
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for context in self.context.iter().rev() {
            write!(f, "{context}: ")?;
        }
        // One line, whatever a file name or a library put into the message.
        for part in self.message.split(['\n', '\r']).filter(|part| !part.is_empty()).enumerate() {
            if part.0 > 0 {
                f.write_str(" ")?;
            }
            f.write_str(part.1)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

/// Adds a context to the error of a result.
pub trait Context<T> {
    /// Puts `what()` before the message, if it is an error.
    fn context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| error.context(what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_is_read_from_the_outside_in_and_stays_on_one_line() {
        let error = Error::new(Kind::Decode, "bad\npacket").context("frame 7").context("a.mp4");
        assert_eq!(error.to_string(), "a.mp4: frame 7: bad packet");
        assert_eq!(error.exit_status(), 1);
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(Error::io("write", full).kind(), Kind::DiskFull);
    }

    #[test]
    fn what_another_try_may_open_is_not_unusable_for_good() {
        let status = |errno: Errno| Error::open("a.mp4", errno.into()).exit_status();
        let unusable = [Errno::NOENT, Errno::ACCESS, Errno::ISDIR, Errno::NOTDIR, Errno::NAMETOOLONG, Errno::LOOP];
        assert_eq!(unusable.map(status), [4; 6]);
        let passing = [Errno::IO, Errno::STALE, Errno::TIMEDOUT, Errno::MFILE, Errno::NOMEM];
        assert_eq!(passing.map(status), [1; 5]);
    }
}
