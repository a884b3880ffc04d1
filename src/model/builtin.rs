//! The networks inside the program: name, facts and bytes in one table.
//!
//! A new one is a line of [`BUILTINS`] and a file in `models/`. The facts are written by hand here and tested against
//! what the networks do; `identity` and `nearest-x2` need no library to run.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::{Channels, Element, Layout, Network, NetworkCode, NetworkFacts, Port};

/// A network inside the program.
#[derive(Clone, Copy)]
pub struct Builtin {
    /// What the user calls it.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Output pixels per input pixel.
    scale: usize,
    /// The receptive radius in input pixels.
    radius: usize,
    code: Code,
}

#[derive(Clone, Copy)]
enum Code {
    Identity,
    NearestX2,
    Onnx(&'static [u8]),
}

const BUILTINS: &[Builtin] = &[
    Builtin { name: "identity", about: "gives every picture back as it is", scale: 1, radius: 0, code: Code::Identity },
    Builtin { name: "nearest-x2", about: "repeats every pixel, for tests", scale: 2, radius: 0, code: Code::NearestX2 },
    Builtin {
        name: "upscale-x2",
        about: "twice the width and height",
        scale: 2,
        radius: 2,
        code: Code::Onnx(include_bytes!("../../models/upscale-x2.onnx")),
    },
];

/// All of them, in the order to list them.
pub fn list() -> &'static [Builtin] {
    BUILTINS
}

/// The one with this name.
pub fn find(name: &str) -> Option<Network> {
    BUILTINS.iter().find(|builtin| builtin.name == name).map(Builtin::network)
}

impl Builtin {
    /// Ready to be run. All take and give luma in [0, 1] as f32 NCHW, `input` to `output`.
    pub fn network(&self) -> Network {
        let port = |name: &str| Port {
            name: name.to_owned(),
            element: Element::F32,
            layout: Layout::Nchw,
            channels: Channels::Luma,
            black: 0.0,
            white: 1.0,
        };
        let facts = NetworkFacts {
            input: port("input"),
            output: port("output"),
            scale: self.scale,
            radius: Some(self.radius),
            multiple_of: 1,
            fixed_size: None,
            fixed_batch: None,
        };
        let (hash, code) = match self.code {
            Code::Identity => (xxh3_128(self.name.as_bytes()), NetworkCode::Identity),
            Code::NearestX2 => (xxh3_128(self.name.as_bytes()), NetworkCode::NearestX2),
            Code::Onnx(bytes) => (xxh3_128(bytes), NetworkCode::Onnx(Arc::from(bytes))),
        };
        Network { name: self.name.to_owned(), hash, facts, code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_every_hash_is_there_once() {
        for (i, one) in list().iter().enumerate() {
            let network = find(one.name).unwrap();
            assert_eq!(network.name, one.name);
            for other in &list()[..i] {
                assert_ne!(other.name, one.name);
                assert_ne!(other.network().hash, network.hash);
            }
        }
        assert!(find("no-such-network").is_none());
    }
}
