//! Key and value pairs in FFmpeg's form: metadata and options.

use std::ffi::{CStr, CString, c_int};
use std::ptr;

use ffmpeg_next::ffi;

use crate::fatal;

/// An `AVDictionary` that frees itself.
pub struct Dictionary(*mut ffi::AVDictionary);

impl Dictionary {
    /// An empty one.
    pub fn new() -> Self {
        Dictionary(ptr::null_mut())
    }

    /// One with these pairs, in this order; a key may come twice (metadata).
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut dictionary = Dictionary::new();
        for (key, value) in pairs {
            dictionary.insert(key.as_ref(), value.as_ref(), ffi::AV_DICT_MULTIKEY as c_int);
        }
        dictionary
    }

    /// Sets a key, replacing its value.
    pub fn set(&mut self, key: &str, value: &str) {
        self.insert(key, value, 0);
    }

    fn insert(&mut self, key: &str, value: &str, flags: c_int) {
        // FFmpeg's strings end at the first NUL; metadata that holds one is cut there, as FFmpeg itself would.
        let cut = |text: &str| CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default();
        let (key, value) = (cut(key), cut(value));
        // SAFETY: both strings are terminated and copied by av_dict_set.
        let code = unsafe { ffi::av_dict_set(&mut self.0, key.as_ptr(), value.as_ptr(), flags) };
        if code < 0 {
            // Nothing else makes it fail. An option that is missing without a word would be worse than an end.
            fatal::end(format_args!("out of memory for an option of FFmpeg's"));
        }
    }

    /// All pairs, in order.
    pub fn pairs(&self) -> Vec<(String, String)> {
        // SAFETY: the dictionary is valid, or null and then empty.
        unsafe { pairs_of(self.0) }
    }

    /// Where FFmpeg takes a dictionary by reference and leaves what it did not use.
    pub(super) fn as_mut_ptr(&mut self) -> *mut *mut ffi::AVDictionary {
        &mut self.0
    }

    /// Gives the dictionary to FFmpeg, which frees it.
    pub(super) fn into_raw(mut self) -> *mut ffi::AVDictionary {
        std::mem::replace(&mut self.0, ptr::null_mut())
    }
}

impl Default for Dictionary {
    fn default() -> Self {
        Dictionary::new()
    }
}

impl Drop for Dictionary {
    fn drop(&mut self) {
        // SAFETY: owned by this value, or null.
        unsafe { ffi::av_dict_free(&mut self.0) }
    }
}

/// The pairs of a dictionary that FFmpeg owns. Bytes that are not UTF-8 are replaced.
///
/// # Safety
/// `dictionary` is null or valid for the call.
pub(super) unsafe fn pairs_of(dictionary: *const ffi::AVDictionary) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut entry: *const ffi::AVDictionaryEntry = ptr::null();
    loop {
        // SAFETY: the dictionary is valid by contract, and `entry` is null or came from the call before.
        entry = unsafe { ffi::av_dict_get(dictionary, c"".as_ptr(), entry, ffi::AV_DICT_IGNORE_SUFFIX as c_int) };
        if entry.is_null() {
            return pairs;
        }
        // SAFETY: an entry holds two terminated strings that live as long as the dictionary.
        let (key, value) = unsafe { (CStr::from_ptr((*entry).key), CStr::from_ptr((*entry).value)) };
        pairs.push((key.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    }
}
