//! A look at a file's bytes before anything is allocated for it.
//!
//! [`recognise`] names files that are not ONNX; [`scan`] walks the protobuf wire format (no message is built) and
//! counts, because a few bytes on the wire become hundreds in memory: two bytes are an empty node.

use crate::error::{Error, Kind, Result};

/// Messages a file may hold, of all kinds.
const MAX_MESSAGES: usize = 500_000;
/// Strings and other counted fields a file may hold.
const MAX_FIELDS: usize = 4_000_000;
/// How deep graphs may lie in graphs, counted in messages (a level of subgraphs is three).
const MAX_DEPTH: usize = 40;

/// What the bytes are, when they are something well known that is not ONNX, and what to do about it.
pub fn recognise(bytes: &[u8]) -> Option<&'static str> {
    let convert = "a PyTorch checkpoint, not ONNX; convert it, for example with chaiNNer or spandrel and torch.onnx";
    let start = bytes.trim_ascii_start();
    let starts = |text: &[u8]| start.len() >= text.len() && start[..text.len()].eq_ignore_ascii_case(text);
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..offset + magic.len()) == Some(magic);
    let header = bytes.first_chunk().map(|&length| u64::from_le_bytes(length)).unwrap_or(0);
    Some(match () {
        () if start.is_empty() => "an empty file, not ONNX; fetch it again",
        () if starts(b"version https://git-lfs") => {
            "a Git LFS pointer, not the network itself; run `git lfs pull` or download the file it stands for"
        }
        () if starts(b"<!doctype") || starts(b"<html") => {
            "a web page, not ONNX; download the raw file instead of the page that shows it"
        }
        () if starts(b"<?xml") || starts(b"<net") => {
            "XML, perhaps an OpenVINO network, not ONNX; use the .onnx it was made from"
        }
        () if at(0, b"PK\x03\x04") => convert,
        () if at(0, b"\x80\x02") || at(0, b"\x80\x03") || at(0, b"\x80\x04") => convert,
        () if at(8, b"{\"") && header < bytes.len() as u64 => {
            "a safetensors file, weights without a graph, not ONNX; convert it, for example with chaiNNer or spandrel"
        }
        () if at(0, b"GGUF") => "a GGUF file, not ONNX; export the network to ONNX",
        () if at(0, b"\x89HDF") => "a Keras (HDF5) file, not ONNX; convert it with tf2onnx",
        () if at(4, b"TFL3") => "a TensorFlow Lite file, not ONNX; convert it with tf2onnx --tflite",
        () if at(4, b"ORTM") => "an ONNX Runtime .ort file; use the .onnx it was made from",
        () if at(0, b"ptrt") || at(0, b"ftrt") => "a TensorRT engine, not ONNX; use the .onnx it was built from",
        () if at(0, b"\x1f\x8b") => "a gzip archive, not ONNX; unpack it first",
        () if at(0, b"7767517") => "an ncnn parameter file, not ONNX; use the .onnx it was made from",
        () if starts(b"{") => "JSON, not ONNX; give the .onnx file itself",
        () => return None,
    })
}

/// The messages that hold other messages or repeated fields.
#[derive(Clone, Copy)]
enum Shape {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Dims,
    Leaf,
}

/// What a field of a message holds, for the fields that are decoded into messages.
fn child(of: Shape, field: u64) -> Option<Shape> {
    use Shape::*;
    Some(match (of, field) {
        (Model, 7) => Graph,
        (Model, 8 | 14) => Leaf,
        (Graph, 1) => Node,
        (Graph, 5) => Tensor,
        (Graph, 11..=13) => ValueInfo,
        (Node, 5) => Attribute,
        (Attribute, 5 | 10) => Tensor,
        (Attribute, 6 | 11) => Graph,
        (Tensor, 13) => Leaf,
        (ValueInfo, 2) => Type,
        (Type, 1) => TensorType,
        (TensorType, 2) => Dims,
        (Dims, 1) => Leaf,
        _ => return None,
    })
}

struct Scan {
    messages: usize,
    fields: usize,
    graph: bool,
}

/// Walks all messages; an error if the bytes are cut short, are not protobuf, hold no graph or hold too much.
pub fn scan(bytes: &[u8]) -> Result<()> {
    let mut scan = Scan { messages: 0, fields: 0, graph: false };
    scan.message(bytes, Shape::Model, 0)?;
    if !scan.graph {
        return Err(broken("it holds no graph"));
    }
    Ok(())
}

fn broken(what: &str) -> Error {
    Error::new(Kind::Network, format!("not an ONNX file, or cut short ({what}); fetch or export it again"))
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(|| broken("it ends inside a number"))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(broken("a number is longer than ten bytes"))
}

fn skip<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8]> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (field, rest) = bytes
        .split_at_checked(length)
        .ok_or_else(|| broken(&format!("a field of {length} bytes has only {} left", bytes.len())))?;
    *bytes = rest;
    Ok(field)
}

impl Scan {
    fn message(&mut self, mut bytes: &[u8], shape: Shape, depth: usize) -> Result<()> {
        self.messages += 1;
        if self.messages > MAX_MESSAGES || depth > MAX_DEPTH {
            let what = if depth > MAX_DEPTH { "graphs lie too deep in graphs" } else { "it holds over 500000 parts" };
            return Err(Error::new(Kind::Network, format!("{what}; simplify it, for example with onnxsim")));
        }
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let field = tag >> 3;
            self.fields += 1;
            if self.fields > MAX_FIELDS {
                return Err(Error::new(
                    Kind::Network,
                    format!("it holds over {MAX_FIELDS} fields; store weights as raw data, for example with onnxsim"),
                ));
            }
            match tag & 7 {
                _ if field == 0 => return Err(broken("a field has number 0")),
                0 => drop(varint(&mut bytes)?),
                1 => drop(skip(&mut bytes, 8)?),
                5 => drop(skip(&mut bytes, 4)?),
                2 => {
                    let length = varint(&mut bytes)?;
                    let inner = skip(&mut bytes, length)?;
                    if let Some(inner_shape) = child(shape, field) {
                        self.graph |= matches!(inner_shape, Shape::Graph);
                        self.message(inner, inner_shape, depth + 1)?;
                    }
                }
                other => return Err(broken(&format!("wire type {other}"))),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_kinds_are_named() {
        assert!(recognise(b"version https://git-lfs.github.com/spec/v1\n").unwrap().contains("LFS"));
        assert!(recognise(b"\n<!DOCTYPE html>").unwrap().contains("web page"));
        assert!(recognise(b"PK\x03\x04rest").unwrap().contains("PyTorch"));
        assert!(recognise(b"\x02\0\0\0\0\0\0\0{\"a\": 1}").unwrap().contains("safetensors"));
        assert!(recognise(b"").unwrap().contains("empty"));
        assert!(recognise(&[0x08, 0x08, 0x12, 0x07]).is_none());
    }

    #[test]
    fn cut_and_endless_numbers_are_refused() {
        for bytes in [&[0x3a, 0x05, 0x0a][..], &[0xff; 12], &[0x08], &[0x0b], &[0x08, 0x01]] {
            assert!(scan(bytes).is_err(), "{bytes:?}");
        }
        assert!(scan(&[0x3a, 0x00]).is_ok());
    }

    #[test]
    fn many_empty_nodes_are_refused_before_they_are_built() {
        let nodes = [0x0a, 0x00].repeat(600_000);
        let mut bytes = vec![0x3a];
        prost::encoding::encode_varint(nodes.len() as u64, &mut bytes);
        bytes.extend(nodes);
        assert!(scan(&bytes).unwrap_err().to_string().contains("500000"));
    }
}
