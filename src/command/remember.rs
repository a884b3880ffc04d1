//! The cache of a run: opened as planned, with the hash of all that decides pictures.

use std::fs::{self, File};
use std::io::Read;

use xxhash_rust::xxh3::Xxh3;

use super::prepare::Prepared;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::infer;
use crate::measure::machine;
use crate::plan::cache::CachePlan;
use crate::tile::roi::Roi;

/// Opens the cache if the plan has one. A cache that cannot be used is a warning of the plan, and the run goes on
/// without.
pub fn open(prepared: &mut Prepared) -> Option<Cache> {
    let CachePlan::Used { folder, size, .. } = &prepared.plan.cache else { return None };
    let (cache, warning) = match Cache::open(folder, *size) {
        Ok((cache, warning)) => (Some(cache), warning),
        Err(error) => (None, Some(format!("no cache is used: {error}"))),
    };
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
        prepared.plan.warnings.push(warning);
    }
    cache
}

/// The hash of all that decides pictures before they are encoded, but for their pixels: this program, the network, what
/// runs it and where, the pictures' format, size and colour, the region of interest, and how whole frames are cut.
pub fn pixel_hash(prepared: &Prepared) -> Result<u128> {
    let Prepared { plan, network, engine, head, .. } = prepared;
    let engine = infer::facts(network, engine)?;
    // Two builds of a library may bear the same version.
    let libraries: Vec<_> =
        infer::ort::installed().iter().map(|path| fs::metadata(path).map_or(0, |facts| facts.len())).collect();
    let decided = format!(
        "{:032x} {:?} {engine:?} {libraries:?} {} {:?} {:032x} {:?}",
        network.hash,
        network.facts,
        machine::cpu_name(),
        head.picture(),
        plan.roi.as_ref().map_or(0, Roi::hash),
        plan.windows.whole.first(),
    );
    let mut hash = Xxh3::new();
    hash_program(&mut hash)?;
    hash.update(decided.as_bytes());
    Ok(hash.digest128())
}

/// This program's own bytes: another build may compute otherwise under the same version.
fn hash_program(hash: &mut Xxh3) -> Result<()> {
    let fail = |error| Error::io("read the program itself", error);
    let mut file = File::open("/proc/self/exe").map_err(fail)?;
    let mut bytes = vec![0; 1 << 20];
    loop {
        match file.read(&mut bytes).map_err(fail)? {
            0 => return Ok(()),
            n => hash.update(&bytes[..n]),
        }
    }
}
