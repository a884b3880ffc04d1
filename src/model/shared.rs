//! Networks that others made, which tests use where they are there.

use std::path::{Path, PathBuf};

/// The file of a network; `None`, with a printed reason, where it is absent.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("VPROC_SHARED").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let path = folder.join("data/models").join(name);
    if !path.is_file() {
        println!("skipped {name}: not at {}", path.display());
        return None;
    }
    Some(path)
}
