//! The cache of a run: opened as planned, with the hash of all that decides pictures.

use std::path::PathBuf;

use xxhash_rust::xxh3::xxh3_128;

use super::prepare::Prepared;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::infer::{self, EngineChoice};
use crate::measure::machine;
use crate::model::NetworkCode;
use crate::plan::cache::CachePlan;
use crate::segment::identity;
use crate::segment::packets::print_of;
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
/// runs it and where, the pictures' format, size and colour, the region of interest, and how whole frames are cut. Another
/// build of this program may compute otherwise under the same version, so its own bytes count.
pub fn pixel_hash(prepared: &Prepared) -> Result<u128> {
    let Prepared { plan, network, engine, head, .. } = prepared;
    // Two builds of a library may bear the same version, and be of the same size.
    let libraries = match (&network.code, engine.choice) {
        (NetworkCode::Onnx(_), EngineChoice::Ort | EngineChoice::OpenVino) => {
            hashes(&infer::ort::files(engine.choice, engine.devices.is_some())?)?
        }
        _ => Vec::new(),
    };
    let engine = infer::facts(network, engine)?;
    let decided = format!(
        "{} {:032x} {:?} {engine:?} {libraries:?} {} {:?} {:032x} {:?}",
        identity::program(),
        network.hash,
        network.facts,
        machine::cpu_name(),
        head.picture(),
        plan.roi.as_ref().map_or(0, Roi::hash),
        plan.windows.whole.first(),
    );
    Ok(xxh3_128(decided.as_bytes()))
}

/// A hash of each file.
fn hashes(files: &[PathBuf]) -> Result<Vec<u128>> {
    let hash = |path: &PathBuf| {
        let print = print_of(path).map_err(|error| Error::io(format!("read {}", path.display()), error))?;
        Ok(print.hash)
    };
    files.iter().map(hash).collect()
}
