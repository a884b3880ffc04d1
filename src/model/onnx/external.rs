//! Weights in files beside the model: found, judged and put inline, so that an engine gets one buffer and opens nothing.
//!
//! A location may only name a regular file inside the model's own folder: no absolute path, no `..`, no symbolic link
//! at any step, and no file with a second name (a hard link could point anywhere). The file is opened step by step
//! without following links, so that nothing can be swapped between the check and the read.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Component, Path};

use prost::bytes::Bytes;
use rustix::fs::{Mode, OFlags};

use super::check::tensor_bytes;
use super::proto::{GraphProto, TensorProto, short};
use crate::error::{Context, Error, Kind, Result};

/// All external data of a network together may not be larger than this (protobuf's own limit for one file).
const MAX_BYTES: u64 = i32::MAX as u64;

/// Reads the external tensors of `graph` (its subgraphs have been refused any) from `folder` into the graph.
/// Tells whether there were any.
pub fn inline(graph: &mut GraphProto, folder: &Path) -> Result<bool> {
    let mut total = 0;
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    let constants = attributes.filter_map(|attribute| attribute.t.as_mut());
    for tensor in graph.initializer.iter_mut().chain(constants) {
        if tensor.data_location == Some(1) {
            let name = short(tensor.name.as_deref().unwrap_or(""));
            total += read(tensor, folder, total).context(|| format!("external data of `{name}`"))?;
        }
    }
    Ok(total > 0)
}

fn refuse(what: String) -> Error {
    Error::new(Kind::Network, what)
}

fn read(tensor: &mut TensorProto, folder: &Path, total: u64) -> Result<u64> {
    let value = |key: &str| {
        let entry = tensor.external_data.iter().find(|entry| entry.key.as_deref() == Some(key));
        entry.and_then(|entry| entry.value.as_deref())
    };
    let number = |key: &str| match value(key) {
        None => Ok(None),
        Some(text) => {
            text.parse::<u64>().map(Some).map_err(|_| refuse(format!("{key} is `{}`, not a number", short(text))))
        }
    };
    let location = value("location").ok_or_else(|| refuse("it names no file".into()))?;
    let needed = tensor_bytes(tensor)?;
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?.unwrap_or(needed));
    if length != needed {
        return Err(refuse(format!("it has {length} bytes, its shape {:?} needs {needed}", tensor.dims)));
    }
    if total.saturating_add(length) > MAX_BYTES {
        return Err(refuse("all weights together are over 2 GiB; split the network or store it in float16".into()));
    }
    let (file, size) = open(location, folder)?;
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(refuse(format!(
            "`{}` has {size} bytes, {length} bytes at {offset} are asked for; fetch it again",
            short(location)
        )));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, offset).map_err(|error| Error::io(format!("read `{}`", short(location)), error))?;
    tensor.raw_data = Some(Bytes::from(bytes));
    tensor.external_data.clear();
    tensor.data_location = None;
    Ok(length)
}

/// Opens `location` under `folder` and gives the file with its size.
fn open(location: &str, folder: &Path) -> Result<(File, u64)> {
    let shown = short(location);
    let outside =
        || refuse(format!("`{shown}` is not inside the model's folder; put the file there and name it plainly"));
    let steps: Vec<&std::ffi::OsStr> = Path::new(location)
        .components()
        .filter(|step| *step != Component::CurDir)
        .map(|step| if let Component::Normal(name) = step { Ok(name) } else { Err(outside()) })
        .collect::<Result<_>>()?;
    let (name, folders) = steps.split_last().ok_or_else(outside)?;
    let missing = |error: rustix::io::Errno| match error {
        rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => refuse(format!(
            "`{shown}` is or passes through a symbolic link; put the file itself into the model's folder"
        )),
        rustix::io::Errno::NOENT => refuse(format!("`{shown}` is missing; it has to lie beside the model")),
        other => Error::io(format!("open `{shown}`"), other.into()),
    };
    let directory = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let mut at: OwnedFd = rustix::fs::open(folder, directory, Mode::empty()).map_err(missing)?;
    for step in folders {
        at = rustix::fs::openat(&at, *step, directory | OFlags::NOFOLLOW, Mode::empty()).map_err(missing)?;
    }
    // Without NONBLOCK a pipe under that name would hold the program until someone writes to it.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(&at, *name, flags, Mode::empty()).map_err(missing)?);
    let facts = file.metadata().map_err(|error| Error::io(format!("look at `{shown}`"), error))?;
    if !facts.is_file() {
        return Err(refuse(format!("`{shown}` is not a regular file")));
    }
    if facts.nlink() > 1 {
        return Err(refuse(format!(
            "`{shown}` is a hard link to a file with another name; copy it into the model's folder"
        )));
    }
    Ok((file, facts.len()))
}
