//! ONNX files: read, judged and brought into one buffer that an engine may be given.
//!
//! The order is the point: the kind of file is recognised first, then its size and its number of parts are limited,
//! then it is decoded, then [`check`] judges operators, weights and structure, then external data are looked for, and
//! only then is anything concluded from the graph (`facts`, with the rules in `model/radius`). Nothing here runs a
//! network. When weights lie in other files the graph is written again with the weights inline, and so is one that is told
//! a strength, given to an engine in blocks, or finds things (`detector`); what vproc's few messages do not hold
//! (documentation, annotations) is lost then and only then.

mod blocks;
mod check;
mod detector;
mod external;
pub mod facts;
pub mod labels;
mod ports;
pub mod proto;
mod range;
mod scan;
mod seen;
mod strength;

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use prost::bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Context, Error, Kind, Result};
use crate::model::overrides::Overrides;
use crate::model::radius::{self, Assumption};
use crate::model::{Network, NetworkCode, NetworkFacts, Port};
use facts::GraphFacts;
use proto::ModelProto;

/// The largest file that is read: protobuf's own limit for a message.
const MAX_FILE: u64 = i32::MAX as u64;

/// A network read from a file.
#[derive(Clone)]
pub struct LoadedGraph {
    /// What an engine is given: the file's bytes, with external data inline.
    pub bytes: Arc<[u8]>,
    /// What was concluded from the graph.
    pub facts: GraphFacts,
    /// Hash (XXH3, 128 bits) of `bytes`, external data included.
    pub hash: u128,
}

impl LoadedGraph {
    /// The network ready to be run, whether it gives pictures or finds things: then its graph is written again to give
    /// all of that in one tensor.
    pub fn network(&self, name: String, overrides: &Overrides) -> Result<Network> {
        let facts = self.facts.network_facts(overrides)?;
        let (bytes, hash, dial) = match &facts.detector {
            Some(_) => {
                let bytes = self.written_again(overrides)?;
                (Arc::clone(&bytes), xxh3_128(&bytes), None)
            }
            None => (Arc::clone(&self.bytes), self.hash, self.facts.dial.clone()),
        };
        let (work, code) = (self.facts.multiply_adds_per_pixel, NetworkCode::Onnx(bytes));
        Ok(Network { name, hash, origin: self.hash, facts, work, dial, code })
    }

    /// The bytes of a graph that gives all that this one finds in one tensor.
    fn written_again(&self, overrides: &Overrides) -> Result<Arc<[u8]>> {
        let mut model = parse(Arc::clone(&self.bytes))?;
        self.facts.write_again(&mut model, overrides)?;
        Ok(model.to_bytes())
    }
}

/// A judged graph and the opset of its standard operators.
pub struct Model {
    /// The file's contents.
    pub proto: ModelProto,
    /// The opset of the domain "".
    pub opset: i64,
}

impl Model {
    /// The file's bytes, written anew.
    pub fn to_bytes(&self) -> Arc<[u8]> {
        self.proto.encode_to_vec().into()
    }
}

/// Reads and judges the network in the file at `path`.
pub fn load(path: &Path) -> Result<LoadedGraph> {
    load_inner(path).context(|| path.display().to_string())
}

/// A network of the program's own, whose weights all lie in its bytes.
pub fn from_bytes(bytes: Arc<[u8]>) -> Result<LoadedGraph> {
    let model = parse(Arc::clone(&bytes))?;
    Ok(LoadedGraph { facts: GraphFacts::new(&model), hash: xxh3_128(&bytes), bytes })
}

/// The graph in `bytes` with this value for its strength and no other, and its hash.
pub fn with_strength(bytes: &Arc<[u8]>, value: f32) -> Result<(Arc<[u8]>, u128)> {
    let mut model = parse(Arc::clone(bytes))?;
    let graph = model.proto.graph.as_mut().expect("a judged model has a graph");
    if !strength::fix(graph, value) {
        return Err(Error::new(Kind::Internal, "a network that takes no strength was told one"));
    }
    let bytes = model.to_bytes();
    let hash = xxh3_128(&bytes);
    Ok((bytes, hash))
}

/// The graph in `bytes` with convolutions that give blocks of pixels (`blocks`), for an engine that computes `lanes`
/// channels at once and pictures of this width and height, or of those that are larger or smaller by a multiple of the
/// blocks' side, which is given too. `None` where nothing is gained.
pub fn in_blocks(
    bytes: &Arc<[u8]>,
    facts: &NetworkFacts,
    lanes: usize,
    (width, height): (usize, usize),
) -> Result<Option<(LoadedGraph, usize)>> {
    let mut model = parse(Arc::clone(bytes))?;
    let graph = model.proto.graph.as_ref().expect("a judged model has a graph");
    let mut candidates = blocks::find(graph, lanes, (width, height));
    if candidates.is_empty() {
        return Ok(None);
    }
    // Of outputs that are so many times as large as the picture, whole blocks cover all.
    let step = facts.multiple_of.max(1) * blocks::LARGEST;
    let larger = if facts.fixed_size.is_some() { (width, height) } else { (width + step, height + 2 * step) };
    for (width, height) in [(width, height), larger] {
        let Some(sizes) = sizes(&model, facts, (width, height)) else { return Ok(None) };
        candidates.retain(|candidate| match sizes.get(candidate.output(graph)).map(Vec::as_slice) {
            Some(&[.., rows, columns]) => {
                let times = rows / height as i64;
                times > 0 && (rows, columns) == (times * height as i64, times * width as i64)
            }
            _ => false,
        });
    }
    let Some(side) = candidates.iter().map(|candidate| candidate.side).max() else { return Ok(None) };
    let graph = model.proto.graph.as_mut().expect("a judged model has a graph");
    if blocks::apply(graph, &candidates).is_none() {
        return Ok(None);
    }
    // Names that are taken already are refused.
    Ok(from_bytes(model.to_bytes()).ok().map(|graph| (graph, side)))
}

/// The resize of the graph in `bytes`, if there is one, for which general engines give other bits in windows than in
/// whole pictures, as far as the graph can be followed for a picture of this width and height.
pub fn drifting(bytes: &Arc<[u8]>, facts: &NetworkFacts, size: (usize, usize)) -> Option<String> {
    let model = parse(Arc::clone(bytes)).ok()?;
    let Port { name, element, .. } = &facts.input;
    radius::drifting(&model, name, proto::data_type::of(*element), assumption(facts, size)).ok()?
}

/// The sizes of all tensors for a picture of this width and height, where they can be followed.
fn sizes<'a>(
    model: &'a Model,
    facts: &'a NetworkFacts,
    (width, height): (usize, usize),
) -> Option<HashMap<&'a str, Vec<i64>>> {
    let Port { name, element, .. } = &facts.input;
    radius::sizes(model, name, proto::data_type::of(*element), assumption(facts, (width, height))).ok()
}

/// A picture of this width and height for a trace.
fn assumption(facts: &NetworkFacts, (width, height): (usize, usize)) -> Assumption {
    Assumption {
        batch: facts.fixed_batch.unwrap_or(1) as i64,
        channels: facts.input.channels.count() as i64,
        rows: height as i64,
        columns: width as i64,
        layout: facts.input.layout,
        free: facts.fixed_size.is_none(),
    }
}

fn load_inner(path: &Path) -> Result<LoadedGraph> {
    let bytes: Arc<[u8]> = read(path)?.into();
    let mut model = parse(Arc::clone(&bytes))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let graph = model.proto.graph.as_mut().expect("a judged model has a graph");
    let inlined = external::inline(graph, folder)?;
    let bytes = if inlined { model.to_bytes() } else { bytes };
    Ok(LoadedGraph { facts: GraphFacts::new(&model), hash: xxh3_128(&bytes), bytes })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let refuse = |what: String| Error::new(Kind::Network, what);
    let facts = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => refuse("no such file; `vproc models` lists the built-in networks".into()),
        _ => Error::io("open", error),
    })?;
    if !facts.is_file() {
        return Err(refuse("not a regular file, a network is read from one".into()));
    }
    if facts.len() > MAX_FILE {
        return Err(refuse(format!(
            "{} bytes, at most {MAX_FILE} are read; store the network in float16",
            facts.len()
        )));
    }
    let mut bytes = Vec::with_capacity(facts.len() as usize);
    let file = std::fs::File::open(path).map_err(|error| Error::io("open", error))?;
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(|error| Error::io("read", error))?;
    Ok(bytes)
}

/// Decodes and judges the bytes of a file; weights stay where they are in `bytes`, and external ones are not read.
pub fn parse(bytes: Arc<[u8]>) -> Result<Model> {
    if let Some(what) = scan::recognise(&bytes) {
        return Err(Error::new(Kind::Network, what));
    }
    scan::scan(&bytes)?;
    let mut proto = ModelProto::decode(Bytes::from_owner(bytes)).map_err(|error| {
        Error::new(Kind::Network, "not an ONNX file (its messages do not decode); export it again").with_source(error)
    })?;
    let opset = check::check(&proto)?;
    // No node calls any.
    proto.functions.clear();
    Ok(Model { proto, opset })
}
