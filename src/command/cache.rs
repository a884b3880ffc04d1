//! What can be done with a cache beside using it: tell what is in it, check all of it, empty it.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cache::{Cache, Stat, Verified};
use crate::config::{CacheAct, default_cache};
use crate::error::{Error, Kind, Result};
use crate::sandbox::Grants;

/// The folder that is meant.
fn folder_of(named: Option<&Path>) -> Result<PathBuf> {
    let none = || Error::new(Kind::Usage, "there is no home folder; name the cache's with --cache");
    named.map(Path::to_owned).or_else(default_cache).ok_or_else(none)
}

/// What an act on a cache touches.
pub fn cache_grants(named: Option<&Path>) -> Grants {
    Grants { write: folder_of(named).into_iter().collect(), ..Grants::default() }
}

/// Does it; the exit status, 1 if records were damaged.
pub fn cache(act: CacheAct, named: Option<&Path>, size: Option<u64>, json: bool) -> Result<u8> {
    let folder = folder_of(named)?;
    let folder = folder.as_path();
    if std::fs::metadata(folder).is_ok_and(|there| !there.is_dir()) {
        let message = format!("--cache {} is a file, expected the folder of a cache", folder.display());
        return Err(Error::new(Kind::Usage, message));
    }
    if act == CacheAct::Clear {
        if !folder.is_dir() {
            return absent(folder, json);
        }
        let stat = Cache::clear(folder, size)?.stat();
        return tell(folder, json, json!({ "capacity": stat.capacity }), format!("empty, {}", mib(stat.capacity)));
    }
    let Some(cache) = Cache::look(folder)? else { return absent(folder, json) };
    if act == CacheAct::Verify {
        let Verified { good, bad } = cache.verify();
        let text = format!("{good} records are sound, {bad} were damaged and are forgotten");
        tell(folder, json, json!({ "good": good, "bad": bad }), text)?;
        return Ok(u8::from(bad > 0));
    }
    let Stat { capacity, used, n_records, record_bytes } = cache.stat();
    let value = json!({ "capacity": capacity, "used": used, "records": n_records, "record_bytes": record_bytes });
    let text = format!("{} of {} used, {n_records} records of {}", mib(used), mib(capacity), mib(record_bytes));
    tell(folder, json, value, text)
}

fn absent(folder: &Path, json: bool) -> Result<u8> {
    tell(folder, json, json!({ "capacity": 0, "used": 0, "records": 0 }), "no cache yet".to_owned())
}

fn tell(folder: &Path, json: bool, mut value: serde_json::Value, text: String) -> Result<u8> {
    if json {
        value["folder"] = folder.to_string_lossy().into();
        super::print_json(&value)?;
    } else {
        super::print(format!("{}: {text}\n", folder.display()).as_bytes())?;
    }
    Ok(0)
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
