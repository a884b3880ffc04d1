//! Random graphs of the supported operators at random sizes, down to one pixel, against ONNX Runtime.

mod bytes;
mod quantized;
mod resizes;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::infer::{EngineChoice, suited};
use crate::model::onnx::Model;
use crate::model::onnx::proto::*;

/// Repeatable choices.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) ^ (self.0 >> 50)
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn number(&mut self) -> f32 {
        self.below(2001) as f32 / 1000.0 - 1.0
    }
}

/// A value of the graph under way: its sides are `up` times the picture's and `extra` more.
#[derive(Clone)]
struct Made {
    name: String,
    channels: usize,
    up: usize,
    extra: i64,
}

struct Maker {
    dice: Dice,
    graph: GraphProto,
    values: Vec<Made>,
    n_names: usize,
    needs_two: bool,
}

fn attribute(name: &str) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i: Some(i), r#type: Some(2), ..attribute(name) }
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { ints: ints.to_vec(), r#type: Some(7), ..attribute(name) }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { f: Some(f), r#type: Some(1), ..attribute(name) }
}

fn string(name: &str, text: &str) -> AttributeProto {
    AttributeProto { s: Some(text.as_bytes().to_vec().into()), r#type: Some(3), ..attribute(name) }
}

fn port(name: &str, channels: usize) -> ValueInfoProto {
    let fixed = |size: i64| DimensionProto { dim_value: Some(size), dim_param: None };
    let free = |name: &str| DimensionProto { dim_value: None, dim_param: Some(name.to_owned()) };
    let dim = vec![fixed(1), fixed(channels as i64), free(&format!("{name}_h")), free(&format!("{name}_w"))];
    let tensor_type = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

impl Maker {
    fn name(&mut self) -> String {
        self.n_names += 1;
        format!("t{}", self.n_names)
    }

    fn floats(&mut self, dims: &[usize], scale: f32) -> String {
        let name = self.name();
        let values = (0..dims.iter().product::<usize>()).map(|_| self.dice.number() * scale).collect();
        self.graph.initializer.push(TensorProto {
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            data_type: Some(data_type::FLOAT),
            float_data: values,
            name: Some(name.clone()),
            ..TensorProto::default()
        });
        name
    }

    fn fixed(&mut self, dims: &[usize], data_type: i32, values: &[f64]) -> String {
        let name = self.name();
        let mut tensor = TensorProto {
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            data_type: Some(data_type),
            name: Some(name.clone()),
            ..TensorProto::default()
        };
        match data_type {
            data_type::INT64 => tensor.int64_data = values.iter().map(|&value| value as i64).collect(),
            data_type::FLOAT => tensor.float_data = values.iter().map(|&value| value as f32).collect(),
            _ => tensor.int32_data = values.iter().map(|&value| value as i32).collect(),
        }
        self.graph.initializer.push(tensor);
        name
    }

    fn op(&mut self, op: &str, input: Vec<String>, attribute: Vec<AttributeProto>, like: &Made) -> Made {
        let name = self.name();
        self.graph.node.push(NodeProto {
            input,
            output: vec![name.clone()],
            op_type: Some(op.to_owned()),
            attribute,
            ..NodeProto::default()
        });
        let made = Made { name, ..like.clone() };
        self.values.push(made.clone());
        made
    }

    fn conv(&mut self, from: &Made, n_outputs: Option<usize>, kernel: usize, same: bool) -> Made {
        let divisors: Vec<usize> = (1..=from.channels).filter(|n| from.channels.is_multiple_of(*n)).collect();
        let group = if n_outputs.is_none() && self.dice.below(4) == 0 { self.dice.of(&divisors) } else { 1 };
        let each = 1 + self.dice.below(if group > 4 { 2 } else { 20 });
        let outputs = n_outputs.unwrap_or(group * each);
        let dilation = if same && kernel > 1 { 1 + self.dice.below(2) } else { 1 };
        let reach = (kernel - 1) * dilation;
        let inputs = from.channels / group;
        let scale = 1.5 / ((inputs * kernel * kernel) as f32).sqrt();
        let weights = self.floats(&[outputs, inputs, kernel, kernel], scale);
        let mut input = vec![from.name.clone(), weights];
        if self.dice.below(3) > 0 {
            input.push(self.floats(&[outputs], 0.3));
        }
        let mut attributes = vec![
            ints("kernel_shape", &[kernel as i64; 2]),
            int("group", group as i64),
            ints("dilations", &[dilation as i64; 2]),
        ];
        let pads = match (same, self.dice.below(3)) {
            (false, _) => [0, 0],
            (true, 0) => {
                attributes.push(string("auto_pad", self.dice.of(&["SAME_UPPER", "SAME_LOWER"])));
                [reach, 0]
            }
            _ => [reach / 2, reach - reach / 2],
        };
        if !attributes.iter().any(|a| a.name.as_deref() == Some("auto_pad")) {
            let [before, after] = pads.map(|pad| pad as i64);
            attributes.push(ints("pads", &[before, before, after, after]));
        }
        let extra = from.extra + (pads[0] + pads[1]) as i64 - reach as i64;
        self.op("Conv", input, attributes, &Made { channels: outputs, extra, ..from.clone() })
    }

    fn pad(&mut self, from: &Made, by: [i64; 2], mode: &str) -> Made {
        self.needs_two |= mode == "reflect";
        let [a, b] = by.map(|by| by as f64);
        let pads = self.fixed(&[8], data_type::INT64, &[0.0, 0.0, a, a, 0.0, 0.0, b, b]);
        let mut input = vec![from.name.clone(), pads];
        if mode == "constant" && self.dice.below(2) == 0 {
            input.push(self.fixed(&[], data_type::FLOAT, &[0.25]));
        }
        self.op("Pad", input, vec![string("mode", mode)], &Made { extra: from.extra + by[0] + by[1], ..from.clone() })
    }

    fn step(&mut self) {
        let at = self.values.len() - 1 - self.dice.below(self.values.len().min(4));
        let from = self.values[at].clone();
        let one = vec![from.name.clone()];
        match self.dice.below(16) {
            0..=3 => {
                let (kernel, same) = (self.dice.of(&[1, 2, 3, 3, 3, 5]), self.dice.below(6) > 0);
                self.conv(&from, None, kernel, same);
            }
            4 => {
                let op =
                    self.dice.of(&["Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Abs", "Neg", "LeakyRelu"]);
                let settings = if op == "LeakyRelu" { vec![float("alpha", 0.2)] } else { Vec::new() };
                self.op(op, one, settings, &from);
            }
            5 => {
                let dims: &[usize] = if self.dice.below(2) == 0 { &[from.channels, 1, 1] } else { &[1] };
                let slopes = self.floats(dims, 0.5);
                self.op("PRelu", vec![from.name.clone(), slopes], Vec::new(), &from);
            }
            6 => {
                let (low, high) =
                    (self.fixed(&[], data_type::FLOAT, &[-0.4]), self.fixed(&[], data_type::FLOAT, &[0.6]));
                let input = [vec![from.name.clone(), low, high], vec![from.name.clone(), String::new(), "clip".into()]];
                let mut input = input[self.dice.below(2)].clone();
                if input[2] == "clip" {
                    input[2] = self.fixed(&[], data_type::FLOAT, &[0.3]);
                }
                self.op("Clip", input, Vec::new(), &from);
            }
            7 | 8 => {
                let alike = |other: &&Made| (other.up, other.extra) == (from.up, from.extra);
                let fits = |other: &&Made| other.channels == from.channels || other.channels == 1;
                let others: Vec<Made> = self.values.iter().filter(alike).filter(fits).cloned().collect();
                let other = others[self.dice.below(others.len())].clone();
                let op = self.dice.of(&["Add", "Add", "Sub", "Mul", "Max", "Min"]);
                self.op(op, vec![from.name.clone(), other.name], Vec::new(), &from);
            }
            9 => {
                let dims: &[usize] = if self.dice.below(2) == 0 { &[1, from.channels, 1, 1] } else { &[] };
                let number = self.floats(dims, 2.0);
                let op = self.dice.of(&["Add", "Sub", "Mul"]);
                let mut input = vec![from.name.clone(), number];
                if self.dice.below(2) == 0 {
                    input.reverse();
                }
                self.op(op, input, Vec::new(), &from);
            }
            10 => {
                let alike = |other: &&Made| (other.up, other.extra) == (from.up, from.extra) && other.channels < 30;
                let others: Vec<Made> = self.values.iter().filter(alike).cloned().collect();
                if others.is_empty() || from.channels > 30 {
                    return;
                }
                let other = others[self.dice.below(others.len())].clone();
                let channels = from.channels + other.channels;
                let axis = self.dice.of(&[1, -3]);
                self.op(
                    "Concat",
                    vec![from.name.clone(), other.name],
                    vec![int("axis", axis)],
                    &Made { channels, ..from },
                );
            }
            11 if from.channels >= 2 => {
                let first = 1 + self.dice.below(from.channels - 1);
                let parts = self.fixed(&[2], data_type::INT64, &[first as f64, (from.channels - first) as f64]);
                let input = vec![from.name.clone(), parts];
                let made = self.op("Split", input, vec![int("axis", 1)], &Made { channels: first, ..from.clone() });
                let second = self.name();
                let node = self.graph.node.last_mut().unwrap();
                node.output = vec![made.name, second.clone()];
                self.values.push(Made { name: second, channels: from.channels - first, ..from });
            }
            12 if from.channels.is_multiple_of(4) && from.up == 1 => {
                let settings = vec![int("blocksize", 2), string("mode", self.dice.of(&["CRD", "DCR"]))];
                let like = Made { channels: from.channels / 4, up: 2, extra: from.extra * 2, ..from };
                self.op("DepthToSpace", one, settings, &like);
            }
            13 if from.up == 1 => {
                let factor = 2 + self.dice.below(2);
                let scales = self.fixed(&[4], data_type::FLOAT, &[1.0, 1.0, factor as f64, factor as f64]);
                let coordinates = self.dice.of(&["half_pixel", "asymmetric"]);
                let mut settings = vec![string("coordinate_transformation_mode", coordinates)];
                match self.dice.below(3) {
                    0 => settings.push(string("mode", "linear")),
                    // Positions of asymmetric thirds are exact for rounding down only.
                    _ if coordinates == "asymmetric" => settings.push(string("nearest_mode", "floor")),
                    _ => settings.push(string("nearest_mode", "round_prefer_floor")),
                }
                let like = Made { up: factor, extra: from.extra * factor as i64, ..from.clone() };
                self.op("Resize", vec![from.name, String::new(), scales], settings, &like);
            }
            _ => {
                let mode = self.dice.of(&["constant", "reflect", "edge"]);
                let by =
                    if mode == "reflect" { [1, 1] } else { [self.dice.below(3) as i64, self.dice.below(3) as i64] };
                let padded = self.pad(&from, by, mode);
                let kernel = (by[0] + by[1] + 1) as usize;
                self.conv(&padded, None, kernel, false);
            }
        }
    }

    /// Brings the newest value to a picture's channels and to a whole multiple of its size.
    fn finish(mut self, channels: usize) -> (Vec<u8>, bool) {
        let mut last = self.values.last().unwrap().clone();
        if last.extra < 0 {
            last = self.pad(&last, [0, -last.extra], "edge");
        }
        let kernel = (last.extra + 1) as usize;
        let last = self.conv(&last, Some(channels), kernel, false);
        self.graph.output = vec![port(&last.name, channels)];
        let opset = OperatorSetIdProto { domain: None, version: Some(17) };
        let proto = ModelProto {
            ir_version: Some(8),
            graph: Some(self.graph),
            opset_import: vec![opset],
            ..ModelProto::default()
        };
        (Model { proto, opset: 17 }.to_bytes().to_vec(), self.needs_two)
    }
}

/// The bytes of a random network, and whether it mirrors, for which a pixel is too few.
fn random(seed: u64) -> (Vec<u8>, bool) {
    let mut dice = Dice(seed);
    let channels = dice.of(&[1, 3]);
    let input = Made { name: "input".into(), channels, up: 1, extra: 0 };
    let graph =
        GraphProto { name: Some("random".into()), input: vec![port("input", channels)], ..GraphProto::default() };
    let mut maker = Maker { dice, graph, values: vec![input], n_names: 0, needs_two: false };
    for _ in 0..2 + maker.dice.below(9) {
        maker.step();
    }
    maker.finish(channels)
}

#[test]
fn random_graphs_agree_with_onnx_runtime() {
    if !has_runtime() {
        return;
    }
    let (n_compared, n_written) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let config = Config { cases: 250, failure_persistence: None, ..Config::default() };
    let cases = (any::<u64>(), 1..40usize, 1..40usize, 0..4u8);
    let result = TestRunner::new(config).run(&cases, |(seed, width, height, small)| {
        let (bytes, needs_two) = random(seed);
        let least = if needs_two { 2 } else { 1 };
        let (width, height) =
            (if small == 0 { least } else { width.max(least) }, if small == 1 { least } else { height.max(least) });
        let graph = onnx::from_bytes(bytes.into()).unwrap();
        let facts = graph.facts.picture_facts(&Overrides::default());
        let facts = facts.map_err(|error| TestCaseError::fail(format!("{seed}: {error}")))?;
        let network = Network {
            name: seed.to_string(),
            hash: graph.hash,
            origin: graph.hash,
            facts,
            work: None,
            dial: None,
            code: NetworkCode::Onnx(graph.bytes),
        };
        let settings = EngineSettings::default();
        let mut engine =
            NativeEngine::new(&network, &settings).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let mut reference = ort::OrtEngine::new(&network, &settings).unwrap();
        // Where nothing is left of so small a picture, neither runs.
        let Some((error, largest)) = difference(&network, &mut engine, &mut reference, (width, height)) else {
            return Ok(());
        };
        n_compared.set(n_compared.get() + 1);
        prop_assert!(error <= 1e-5 * largest.max(0.1), "{} of {}", error, largest);
        // The same graph as other engines get it.
        let others = EngineSettings { choice: EngineChoice::Ort, ..settings.clone() };
        let written = suited(network.clone(), &others, (width, height)).unwrap();
        if written.hash != network.hash {
            let mut written = ort::OrtEngine::new(&written, &others).unwrap();
            let compared = difference(&network, &mut written, &mut reference, (width, height));
            n_written.set(n_written.get() + 1);
            let (error, largest) = compared.ok_or_else(|| TestCaseError::fail("it runs no more in blocks"))?;
            // A few roundings of sums in another order.
            prop_assert!(error <= 4e-6 * largest.max(0.1), "in blocks {} of {}", error, largest);
        }
        let (input, _) = tensors(&network.facts, 1, width, height);
        let whole = bits(&mut engine, &network.facts, &input);
        for level in [Level::Scalar, Level::Avx2] {
            let mut engine = NativeEngine::at(&network, &settings, level, None).unwrap();
            prop_assert!(whole == bits(&mut engine, &network.facts, &input), "{level}");
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    println!("{} compared, {} in blocks", n_compared.get(), n_written.get());
    assert!(n_compared.get() > 150 && n_written.get() > 2);
}
