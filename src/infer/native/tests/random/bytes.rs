//! Networks that take bytes: arithmetic with whole numbers is not this engine's, what only moves them or chooses among
//! them is.

use super::*;

/// Something done to a value.
type Make<'a> = &'a dyn Fn(&mut Maker, &Made) -> Made;

/// A network that takes bytes, does something to them and gives floats from 0 to 1.
fn of_bytes(make: Make) -> Network {
    let mut maker = quantized::maker(1, 3);
    let input = maker.values[0].clone();
    let tensor = maker.graph.input[0].r#type.as_mut().and_then(|kind| kind.tensor_type.as_mut());
    tensor.unwrap().elem_type = Some(data_type::UINT8);
    let bytes = make(&mut maker, &input);
    let to = vec![int("to", i64::from(data_type::FLOAT))];
    let floats = maker.op("Cast", vec![bytes.name.clone()], to, &bytes);
    let white = maker.fixed(&[], data_type::FLOAT, &[255.0]);
    let last = maker.op("Div", vec![floats.name.clone(), white], Vec::new(), &floats);
    maker.network(&last)
}

impl Maker {
    /// An operator on a value and a byte.
    fn with_byte(&mut self, op: &str, from: &Made, byte: u8) -> Made {
        let byte = self.fixed(&[], data_type::UINT8, &[f64::from(byte)]);
        self.op(op, vec![from.name.clone(), byte], Vec::new(), from)
    }

    /// The same channels, the first one last.
    fn turned(&mut self, from: &Made) -> Made {
        let parts = self.fixed(&[2], data_type::INT64, &[1.0, 2.0]);
        let (first, others) = (self.name(), self.name());
        self.graph.node.push(NodeProto {
            input: vec![from.name.clone(), parts],
            output: vec![first.clone(), others.clone()],
            op_type: Some("Split".to_owned()),
            attribute: vec![int("axis", 1)],
            ..NodeProto::default()
        });
        self.op("Concat", vec![others, first], vec![int("axis", 1)], from)
    }
}

#[test]
fn arithmetic_on_bytes_is_refused() {
    let linear = |maker: &mut Maker, from: &Made| maker.resized(from, 2, "linear", "half_pixel");
    let makes: [Make; 8] = [
        &|maker, input| maker.with_byte("Add", input, 200),
        &|maker, input| maker.with_byte("Sub", input, 16),
        &|maker, input| maker.with_byte("Mul", input, 3),
        &|maker, input| maker.with_byte("Div", input, 7),
        &|maker, input| {
            let byte = maker.fixed(&[], data_type::UINT8, &[255.0]);
            maker.op("Sub", vec![byte, input.name.clone()], Vec::new(), input)
        },
        &linear,
        // They stay bytes on the way.
        &|maker, input| {
            let high = maker.with_byte("Max", input, 40);
            maker.with_byte("Add", &high, 200)
        },
        &|maker, input| {
            let turned = maker.turned(input);
            let large = maker.resized(&turned, 2, "nearest", "asymmetric");
            linear(maker, &large)
        },
    ];
    for (at, make) in makes.into_iter().enumerate() {
        let error = NativeEngine::new(&of_bytes(make), &EngineSettings::default()).err().map(|error| error.to_string());
        let message = error.unwrap_or_else(|| panic!("{at} is run"));
        assert!(message.contains("no operator of this engine on whole numbers"), "{at}: {message}");
    }
}

#[test]
fn bytes_that_are_only_moved_or_chosen_agree_with_onnx_runtime() {
    let makes: [Make; 4] = [
        &|_, input| input.clone(),
        &|maker, input| maker.with_byte("Max", input, 40),
        &|maker, input| maker.turned(input),
        &|maker, input| maker.resized(input, 3, "nearest", "half_pixel"),
    ];
    for (at, make) in makes.into_iter().enumerate() {
        let network = of_bytes(make);
        let settings = EngineSettings::default();
        let mut engine = NativeEngine::new(&network, &settings).unwrap();
        if !has_runtime() {
            continue;
        }
        let Ok(mut reference) = ort::OrtEngine::new(&network, &settings) else {
            println!("skipped {at}: ONNX Runtime does not run it");
            continue;
        };
        let (error, largest) = difference(&network, &mut engine, &mut reference, (21, 13)).unwrap();
        assert!(error <= 1e-6 * largest, "{at}: {error} of {largest}");
    }
}
