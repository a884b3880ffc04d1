//! FFmpeg, behind safe types: demuxing, decoding, filtering, scaling, encoding, muxing.
//!
//! This room holds every call into FFmpeg that vproc makes, and with them all `unsafe` that FFmpeg needs. What it
//! offers owns its memory and is freed on drop. It knows pictures and time, but decides nothing: which stream, which
//! encoder, what to do with damage is decided above.

mod bits;
mod clock;
mod convert;
mod decoder;
mod deinterlace;
mod delay;
mod dictionary;
mod encoder;
mod fields;
mod filters;
mod input;
mod io;
mod log;
mod output;
mod packet;
mod picture;
mod quantiser;
mod rgb;
mod stream;
mod tags;
mod transcode;
mod units;

use std::ffi::{CStr, c_int};
use std::sync::Once;

use ffmpeg_next::ffi;

use crate::error::{Error, Kind};

pub use bits::Bits;
pub use convert::{Converter, native_format};
pub use decoder::{Decoded, Decoder};
pub use deinterlace::Deinterlacer;
pub use dictionary::Dictionary;
pub use encoder::{Encoder, EncoderCodec, EncoderSettings, VideoSettings};
pub use fields::Fields;
pub use filters::{name as filters_name, open as open_filters};
pub use input::{Chapter, IndexEntry, Input, InputOptions, MAX_BROKEN_READS};
pub use io::{Channel, Reader, Writer};
pub use output::{Output, OutputStream};
pub use packet::Packet;
pub use picture::AvFrame;
pub use quantiser::Qp;
pub use stream::{MediaKind, Stream, StreamSideData};
pub use transcode::{AudioTranscoder, SubtitleTranscoder};
pub use units::{NalUnits, obus, put_set};

/// Makes FFmpeg ready, once.
fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(log::install);
}

/// Keeps the encoders that print by themselves from it. To be called before any thread starts.
pub fn quiet_encoders() {
    // SVT-AV1's own name; 0 leaves what is fatal, which it returns as an error too.
    const VARIABLE: &str = "SVT_LOG";
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: no other thread is there yet that could read the environment.
        unsafe { std::env::set_var(VARIABLE, "0") };
    }
}

/// FFmpeg's version, as its library says.
pub fn version() -> String {
    // SAFETY: returns a static string.
    let text = unsafe { CStr::from_ptr(ffi::av_version_info()) };
    text.to_string_lossy().into_owned()
}

/// FFmpeg's words for one of its error codes.
fn describe(code: c_int) -> String {
    let mut buffer = [0 as std::ffi::c_char; 128];
    // SAFETY: the buffer's true size is given, and av_strerror always terminates it.
    let text = unsafe {
        ffi::av_strerror(code, buffer.as_mut_ptr(), buffer.len());
        CStr::from_ptr(buffer.as_ptr())
    };
    text.to_string_lossy().to_lowercase()
}

/// An error of `kind` made of an FFmpeg error code; where memory was refused, nobody else is to blame.
fn error(kind: Kind, what: impl std::fmt::Display, code: c_int) -> Error {
    let kind = if code == NO_MEMORY { Kind::Io } else { kind };
    Error::new(kind, format!("{what}: {}", describe(code)))
}

/// The negative errno that FFmpeg returns when it is refused memory.
const NO_MEMORY: c_int = -12;

/// The negative errno that FFmpeg returns when it wants more input or output first.
const AGAIN: c_int = -11;
