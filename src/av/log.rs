//! FFmpeg's messages: to the log at debug level, and kept for a moment where only a message tells what went wrong.
//!
//! libx264 and libx265 do not refuse an unknown parameter, they complain and go on; catching the complaint is the only
//! way to refuse it by name. Many decoders tell that something is wrong in a message only.

use std::cell::RefCell;

use ffmpeg_next::ffi;

#[cfg(target_arch = "x86_64")]
use super::decoder;
use crate::fatal;

thread_local! {
    /// Messages of this thread while someone listens.
    static HEARD: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Sends FFmpeg's messages to us instead of to the terminal.
pub(super) fn install() {
    // SAFETY: both set global state, once, before any other FFmpeg call of ours.
    unsafe {
        ffi::av_log_set_level(ffi::AV_LOG_WARNING);
        #[cfg(target_arch = "x86_64")]
        ffi::av_log_set_callback(Some(callback));
        #[cfg(not(target_arch = "x86_64"))]
        ffi::av_log_set_level(ffi::AV_LOG_QUIET);
    }
}

/// Runs `body` and returns what FFmpeg said on this thread meanwhile.
pub(super) fn listen<T>(body: impl FnOnce() -> T) -> (T, Vec<String>) {
    HEARD.with_borrow_mut(|heard| *heard = Some(Vec::new()));
    let result = body();
    (result, HEARD.with_borrow_mut(Option::take).unwrap_or_default())
}

/// What a variable argument list is, differs between processors; elsewhere messages are left unread.
#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn callback(
    context: *mut std::ffi::c_void,
    level: std::ffi::c_int,
    format: *const std::ffi::c_char,
    arguments: *mut ffi::__va_list_tag,
) {
    // SAFETY: both are from FFmpeg's own call.
    unsafe { decoder::count_complaint(context, level, format) };
    if level > ffi::AV_LOG_WARNING {
        return;
    }
    let mut line = [0 as std::ffi::c_char; 1024];
    let mut prefix = 0;
    // SAFETY: everything comes from FFmpeg's own call; the buffer's true size is given and always terminated.
    let text = unsafe {
        ffi::av_log_format_line2(context, level, format, arguments, line.as_mut_ptr(), line.len() as i32, &mut prefix);
        std::ffi::CStr::from_ptr(line.as_ptr())
    };
    let text = text.to_string_lossy();
    let text = text.trim_end();
    if level <= ffi::AV_LOG_PANIC {
        // An assertion of its own has failed, and it calls abort as soon as this returns.
        fatal::end(format_args!("internal error in FFmpeg, as may come of too little memory: {text}"));
    }
    let text = text.to_owned();
    tracing::debug!(target: "ffmpeg", "{text}");
    HEARD.with_borrow_mut(|heard| {
        if let Some(lines) = heard.as_mut().filter(|lines| lines.len() < 100) {
            lines.push(text);
        }
    });
}
