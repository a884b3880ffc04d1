//! The networks inside the program: name, one line about it, and bytes, in one table.
//!
//! A new one is a line of [`BUILTINS`] and a file in `models/`. What holds of a network is read from its graph, as for
//! any other; only those that are code and need no library to run, have their facts here.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::onnx::{self, LoadedGraph};
use super::overrides::Overrides;
use super::{Channels, Element, Layout, Network, NetworkCode, NetworkFacts, Port};

/// A network inside the program.
#[derive(Clone, Copy)]
pub struct Builtin {
    /// What the user calls it.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    code: Code,
}

#[derive(Clone, Copy)]
enum Code {
    Identity(Channels),
    NearestX2,
    Onnx(&'static [u8]),
}

const BUILTINS: &[Builtin] = &[
    Builtin { name: "identity", about: "gives every picture back as it is", code: Code::Identity(Channels::Luma) },
    Builtin {
        name: "identity-rgb",
        about: "gives every picture back as it is, by way of R'G'B', for tests",
        code: Code::Identity(Channels::Rgb),
    },
    Builtin { name: "nearest-x2", about: "repeats every pixel, for tests", code: Code::NearestX2 },
    Builtin {
        name: "upscale-x2",
        about: "twice the width and height, for film, animation and decoded video; the default",
        code: Code::Onnx(include_bytes!("../../models/upscale-x2.onnx")),
    },
    Builtin {
        name: "upscale-x2-fast",
        about: "twice the width and height, for slow machines",
        code: Code::Onnx(include_bytes!("../../models/upscale-x2-fast.onnx")),
    },
    Builtin {
        name: "restore",
        about: "the same size, less noise and fewer marks of compression",
        code: Code::Onnx(include_bytes!("../../models/restore.onnx")),
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
    /// Its graph; `None` for those that are code.
    pub fn graph(&self) -> Option<LoadedGraph> {
        let Code::Onnx(bytes) = self.code else { return None };
        Some(onnx::from_bytes(Arc::from(bytes)).expect("the tests read every network inside the program"))
    }

    /// Ready to be run.
    pub fn network(&self) -> Network {
        let in_code = |channels, scale, code| Network {
            name: self.name.to_owned(),
            hash: xxh3_128(self.name.as_bytes()),
            origin: xxh3_128(self.name.as_bytes()),
            facts: facts(channels, scale),
            work: Some(0.0),
            dial: None,
            code,
        };
        match (self.code, self.graph()) {
            (_, Some(graph)) => {
                let facts = graph.facts.picture_facts(&Overrides::default());
                Network {
                    name: self.name.to_owned(),
                    hash: graph.hash,
                    origin: graph.hash,
                    facts: facts.expect("the tests read every network inside the program"),
                    work: graph.facts.multiply_adds_per_pixel,
                    dial: graph.facts.dial,
                    code: NetworkCode::Onnx(graph.bytes),
                }
            }
            (Code::Identity(channels), _) => in_code(channels, 1, NetworkCode::Identity),
            (_, None) => in_code(Channels::Luma, 2, NetworkCode::NearestX2),
        }
    }
}

/// Channels in [0, 1] as f32 NCHW, `input` to `output`, one pixel looked at.
fn facts(channels: Channels, scale: usize) -> NetworkFacts {
    let port = |name: &str| Port {
        name: name.to_owned(),
        element: Element::F32,
        layout: Layout::Nchw,
        channels,
        black: 0.0,
        white: 1.0,
    };
    NetworkFacts {
        input: port("input"),
        output: port("output"),
        scale,
        radius: Some(0),
        multiple_of: 1,
        fixed_size: None,
        fixed_batch: None,
        detector: None,
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

    #[test]
    fn what_a_graph_says_of_itself_is_what_its_card_says() {
        for builtin in list() {
            let facts = builtin.network().facts;
            let channels = if builtin.name == "identity-rgb" { Channels::Rgb } else { Channels::Luma };
            assert_eq!((facts.input.channels, facts.input.layout), (channels, Layout::Nchw), "{}", builtin.name);
            assert_eq!((facts.multiple_of, facts.fixed_size, facts.fixed_batch), (1, None, None), "{}", builtin.name);
            assert_eq!((facts.input.black, facts.input.white), (0.0, 1.0), "{}", builtin.name);
            let Some(graph) = builtin.graph() else { continue };
            let card = |key: &str| graph.facts.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| &**value);
            assert_eq!(card("name"), Some(builtin.name));
            assert_eq!(card("scale"), Some(&*facts.scale.to_string()), "{}", builtin.name);
            assert_eq!(card("radius"), facts.radius.map(|radius| radius.to_string()).as_deref(), "{}", builtin.name);
        }
    }
}
