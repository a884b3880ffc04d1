//! Quantised networks: the two operators against their definition, and whole networks against ONNX Runtime.

use super::*;

/// A network that takes a picture and does nothing yet.
pub(super) fn maker(seed: u64, channels: usize) -> Maker {
    let input = Made { name: "input".into(), channels, up: 1, extra: 0 };
    let graph =
        GraphProto { name: Some("steps".into()), input: vec![port("input", channels)], ..GraphProto::default() };
    Maker { dice: Dice(seed), graph, values: vec![input], n_names: 0, needs_two: false }
}

impl Maker {
    /// The network that gives `last`.
    pub(super) fn network(mut self, last: &Made) -> Network {
        self.graph.output = vec![port(&last.name, last.channels)];
        let opset = OperatorSetIdProto { domain: None, version: Some(21) };
        let proto = ModelProto {
            ir_version: Some(10),
            graph: Some(self.graph),
            opset_import: vec![opset],
            ..ModelProto::default()
        };
        let graph = onnx::from_bytes(Model { proto, opset: 21 }.to_bytes()).unwrap();
        let facts = graph.facts.picture_facts(&Overrides::default()).unwrap();
        let code = NetworkCode::Onnx(graph.bytes);
        Network { name: "steps".into(), hash: graph.hash, origin: graph.hash, facts, work: None, dial: None, code }
    }

    /// To steps of `scale` and back.
    fn steps(&mut self, from: &Made, kind: i32, scale: f32, zero: f64) -> Made {
        let scale = self.fixed(&[], data_type::FLOAT, &[f64::from(scale)]);
        let zero = self.fixed(&[], kind, &[zero]);
        let whole = self.op("QuantizeLinear", vec![from.name.clone(), scale.clone(), zero.clone()], Vec::new(), from);
        self.op("DequantizeLinear", vec![whole.name, scale, zero], Vec::new(), from)
    }

    /// A convolution of weights of 8 bits with a scale for each output, and a bias of 32 bits.
    fn conv_in_steps(&mut self, from: &Made, outputs: usize, scale: f32) -> Made {
        self.wide_conv_in_steps(from, outputs, scale, 3, 1)
    }

    /// The same with a kernel of another size, that keeps the picture's.
    fn wide_conv_in_steps(&mut self, from: &Made, outputs: usize, scale: f32, kernel: usize, dilation: usize) -> Made {
        let dims = [outputs, from.channels, kernel, kernel];
        let weights: Vec<f64> = (0..dims.iter().product()).map(|_| self.dice.below(255) as f64 - 127.0).collect();
        let scales: Vec<f64> = (0..outputs).map(|_| f64::from((self.dice.below(90) + 10) as f32 * 1e-4)).collect();
        let biases: Vec<f64> = (0..outputs).map(|_| self.dice.below(2001) as f64 - 1000.0).collect();
        let of_biases: Vec<f64> = scales.iter().map(|&of_weights| f64::from(of_weights as f32 * scale)).collect();
        let weights = self.fixed(&dims, data_type::INT8, &weights);
        let zeros = self.fixed(&[outputs], data_type::INT8, &vec![0.0; outputs]);
        let scales = self.fixed(&[outputs], data_type::FLOAT, &scales);
        let biases = self.fixed(&[outputs], data_type::INT32, &biases);
        let of_biases = self.fixed(&[outputs], data_type::FLOAT, &of_biases);
        let like = Made { channels: outputs, ..from.clone() };
        let axis = vec![int("axis", 0)];
        let weights = self.op("DequantizeLinear", vec![weights, scales, zeros], axis.clone(), &like).name;
        let biases = self.op("DequantizeLinear", vec![biases, of_biases], axis, &like).name;
        let (reach, dilation) = ((kernel - 1) * dilation, dilation as i64);
        let (before, after) = ((reach / 2) as i64, reach.div_ceil(2) as i64);
        let attributes = vec![ints("pads", &[before, before, after, after]), ints("dilations", &[dilation; 2])];
        self.op("Conv", vec![from.name.clone(), weights, biases], attributes, &like)
    }
}

#[test]
fn steps_are_those_of_the_definition() {
    let cases = [
        (data_type::UINT8, 0.0125f32, 20.0, (0.0, 255.0)),
        (data_type::INT8, 0.004, 0.0, (-128.0, 127.0)),
        (data_type::INT8, 0.25, -3.0, (-128.0, 127.0)),
        (data_type::UINT16, 3e-5, 100.0, (0.0, 65535.0)),
    ];
    for (kind, scale, zero, (low, high)) in cases {
        let mut maker = maker(1, 1);
        let input = maker.values[0].clone();
        let made = maker.steps(&input, kind, scale, zero);
        let network = maker.network(&made);
        let mut engine = NativeEngine::new(&network, &EngineSettings::default()).unwrap();
        let mut input = Tensor::new(Element::F32, [1, 1, 5, 101]);
        // Also halves of steps, and what is beyond both ends.
        input.as_f32_mut().iter_mut().enumerate().for_each(|(at, x)| *x = (at as f32 - 250.0) * scale / 2.0);
        input.as_f32_mut()[..4].copy_from_slice(&[1e9, -1e9, 3.0, -3.0]);
        let mut output = Tensor::new(Element::F32, [1, 1, 5, 101]);
        engine.run(&input, &mut output).unwrap();
        for (x, is) in input.as_f32().iter().zip(output.as_f32()) {
            let steps = (f64::from((x / scale).round_ties_even()) + zero).clamp(low, high);
            assert_eq!(*is, (steps - zero) as f32 * scale, "{x} in steps of {scale}, {kind}");
        }
    }
}

/// Of so many samples, how many differ; none by more than a part of the largest.
fn differences(network: &Network, most: f32) -> (usize, usize) {
    let settings = EngineSettings::default();
    let mut engine = NativeEngine::new(network, &settings).unwrap();
    let mut reference = ort::OrtEngine::new(network, &settings).unwrap();
    let (input, mut output) = tensors(&network.facts, 1, 67, 53);
    let (_, mut truth) = tensors(&network.facts, 1, 67, 53);
    engine.run(&input, &mut output).unwrap();
    reference.run(&input, &mut truth).unwrap();
    let largest = truth.as_f32().iter().fold(0.0f32, |all, value| all.max(value.abs()));
    let pairs = || output.as_f32().iter().zip(truth.as_f32());
    assert!(pairs().all(|(a, b)| (a - b).abs() <= most * largest), "{:?} of {largest}", pairs().find(|(a, b)| a != b));
    (pairs().filter(|(a, b)| (*a - *b).abs() > 1e-5 * largest).count(), pairs().count())
}

/// Where one of the two sums whole numbers and the other floats, a sum that lies between two steps may go either way.
#[test]
fn quantised_networks_agree_with_onnx_runtime() {
    if !has_runtime() {
        return;
    }
    let (mut of_one, mut of_all) = ((0, 0), (0, 0));
    let add = |sum: &mut (usize, usize), (a, b): (usize, usize)| *sum = (sum.0 + a, sum.1 + b);
    for seed in 0..6 {
        let made = || {
            let mut maker = maker(seed, 1 + 2 * (seed as usize % 2));
            let input = maker.values[0].clone();
            let first = maker.steps(&input, data_type::UINT8, 1.0 / 255.0, 0.0);
            (maker, input, first)
        };
        let (mut maker, input, first) = made();
        let one = maker.conv_in_steps(&first, input.channels, 1.0 / 255.0);
        let one = maker.steps(&one, data_type::INT8, 0.02, 5.0);
        add(&mut of_one, differences(&maker.network(&one), 0.02));

        let (mut maker, input, mut last) = made();
        let mut scale = 1.0 / 255.0;
        for outputs in [9, 12] {
            let conv = maker.conv_in_steps(&last, outputs, scale);
            let conv = maker.op("Relu", vec![conv.name.clone()], Vec::new(), &conv);
            scale = 0.02;
            last = maker.steps(&conv, data_type::UINT8, scale, 0.0);
        }
        let last = maker.conv_in_steps(&last, input.channels, scale);
        add(&mut of_all, differences(&maker.network(&last), 0.02));
    }
    println!("{of_one:?} steps differ, {of_all:?} samples made of many");
    assert!(of_one.0 * 1000 < of_one.1, "{of_one:?} steps differ");
    assert!(of_all.0 * 20 < of_all.1, "{of_all:?} samples differ");
}

/// A network of codes from its first step to its last; if `is_joined` with joined channels and sums, where ONNX Runtime
/// goes back to floats, or has a way of its own.
fn of_codes(seed: u64, is_joined: bool) -> Network {
    let mut maker = maker(seed, 1 + 2 * (seed as usize % 2));
    let kind = maker.dice.of(&[data_type::UINT8, data_type::UINT8, data_type::INT8]);
    let low = if kind == data_type::INT8 { -128.0 } else { 0.0 };
    let input = maker.values[0].clone();
    let mut scale = 1.0 / 255.0;
    let mut last = maker.steps(&input, kind, scale, low);
    for _ in 0..1 + maker.dice.below(4) {
        let (outputs, kernel) = (1 + maker.dice.below(20), maker.dice.of(&[1, 2, 3, 3, 5]));
        let dilation = 1 + maker.dice.below(2);
        let mut made = maker.wide_conv_in_steps(&last, outputs, scale, kernel, dilation);
        let mut zero = low + maker.dice.below(256) as f64;
        if maker.dice.below(2) == 0 {
            made = maker.op("Relu", vec![made.name.clone()], Vec::new(), &made);
            // With another zero ONNX Runtime keeps the function, and floats.
            zero = low;
        }
        scale = (maker.dice.below(40) + 5) as f32 * 1e-3;
        last = maker.steps(&made, kind, scale, zero);
        if maker.dice.below(3) == 0 {
            // A function and a sum of what codes stand for.
            let slopes = maker.floats(&[outputs, 1, 1], 0.5);
            let made = maker.op("PRelu", vec![last.name.clone(), slopes], Vec::new(), &last);
            let sloped = maker.steps(&made, kind, scale * 0.8, zero);
            last = sloped;
            scale *= 0.8;
            if is_joined {
                let made = maker.wide_conv_in_steps(&last, outputs, scale, 3, 1);
                let made = maker.steps(&made, kind, 0.05, low + 77.0);
                let made = maker.op("Add", vec![last.name.clone(), made.name.clone()], Vec::new(), &made);
                (scale, zero) = (0.06, low + 90.0);
                last = maker.steps(&made, kind, scale, zero);
            }
        }
        if is_joined && maker.dice.below(2) == 0 {
            // Others of the same steps beside them.
            let more = 1 + maker.dice.below(9);
            let made = maker.wide_conv_in_steps(&last, more, scale, 3, 1);
            let beside = maker.steps(&made, kind, scale, zero);
            let like = Made { channels: outputs + more, ..last.clone() };
            let both = vec![last.name.clone(), beside.name];
            let both = maker.op("Concat", both, vec![int("axis", 1)], &like);
            last = if maker.dice.below(2) == 0 { both } else { maker.steps(&both, kind, scale, zero) };
        }
    }
    let made = maker.conv_in_steps(&last, input.channels, scale);
    let made = maker.steps(&made, kind, 0.05, low + 100.0);
    maker.network(&made)
}

fn n_of_codes(network: &Network) -> usize {
    let engine = NativeEngine::new(network, &EngineSettings::default()).unwrap();
    engine.program.nodes.iter().filter(|node| matches!(node.op, program::Op::Quads(_))).count()
}

#[test]
fn networks_of_codes_give_the_same_bits_everywhere() {
    for (seed, is_joined) in (0..20).flat_map(|seed| [(seed, false), (seed, true)]) {
        let network = of_codes(seed, is_joined);
        assert!(n_of_codes(&network) >= 2 && network.facts.radius.is_some(), "{seed}");
        check_bits(&network);
    }
}

/// Where ONNX Runtime joins all operators, as here, both sum whole numbers and round once.
#[test]
fn codes_are_those_of_onnx_runtime() {
    if !has_runtime() {
        return;
    }
    let mut sum = (0, 0);
    for seed in 0..60 {
        let (n, of) = differences(&of_codes(seed, false), 0.5);
        if n > 0 {
            println!("{seed}: {n} of {of}");
        }
        sum = (sum.0 + n, sum.1 + of);
    }
    assert_eq!(sum.0, 0, "of {}", sum.1);
}
