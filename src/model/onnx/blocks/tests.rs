//! Graphs computed by the operators' definitions, as they are and written in blocks.

use super::*;
use crate::model::onnx::proto::ValueInfoProto;

/// A tensor without its batch: channels, rows, columns.
type Planes = Vec<Vec<Vec<f64>>>;

fn tensor(name: &str, dims: &[i64], from: usize) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    let float_data = (0..count).map(|at| ((at * 7 + from) % 13) as f32 - 6.0).collect();
    let (name, dims) = (Some(name.to_owned()), dims.to_vec());
    TensorProto { name, dims, data_type: Some(data_type::FLOAT), float_data, ..TensorProto::default() }
}

fn node(op: &str, input: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    let input = input.iter().map(|name| (*name).to_owned()).collect();
    let (op_type, output) = (Some(op.to_owned()), vec![output.to_owned()]);
    NodeProto { op_type, input, output, attribute, ..NodeProto::default() }
}

fn text(name: &str, value: &'static str) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), s: Some(value.into()), ..AttributeProto::default() }
}

fn port(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
}

/// A convolution of 3x2 from two channels, with what comes behind it.
fn graph(channels: i64, attributes: Vec<AttributeProto>, behind: Vec<NodeProto>) -> GraphProto {
    let last = behind.last().map_or("c", |node| node.output[0].as_str()).to_owned();
    let mut nodes = vec![node("Conv", &["x", "w", "b"], "c", attributes)];
    nodes.extend(behind);
    GraphProto {
        node: nodes,
        initializer: vec![tensor("w", &[channels, 2, 3, 2], 5), tensor("b", &[channels], 2)],
        input: vec![port("x")],
        output: vec![port(&last)],
        ..GraphProto::default()
    }
}

fn pads_around() -> Vec<AttributeProto> {
    vec![ints("pads", &[1, 0, 1, 1]), ints("kernel_shape", &[3, 2])]
}

/// The graph computed by the operators' definitions.
fn run(graph: &GraphProto, input: &Planes) -> Planes {
    let weight = |name: &str| {
        let tensor = graph.initializer.iter().find(|tensor| tensor.name.as_deref() == Some(name)).unwrap();
        (tensor.dims.iter().map(|&dim| dim as usize).collect::<Vec<_>>(), tensor.numbers().unwrap())
    };
    graph.node.iter().fold(input.clone(), |planes, node| match node.op() {
        "Conv" => {
            let ((dims, weights), (_, bias)) = (weight(&node.input[1]), weight(&node.input[2]));
            let pads = node.picture_pads([dims[2] as i64 - 1, dims[3] as i64 - 1]).unwrap().map(|pad| pad as isize);
            let stride = node.ints("strides").map_or(1, |strides| strides[0] as usize);
            let (height, width) = (planes[0].len() as isize, planes[0][0].len() as isize);
            let size = |size: isize, pads: isize, taps: usize| (size + pads) as usize + 1 - taps;
            let (tall, wide) = (size(height, pads[0] + pads[2], dims[2]), size(width, pads[1] + pads[3], dims[3]));
            let at = |plane: usize, y: isize, x: isize| match (0..height).contains(&y) && (0..width).contains(&x) {
                true => planes[plane][y as usize][x as usize],
                false => 0.0,
            };
            let sum = |channel: usize, y: usize, x: usize| -> f64 {
                let taps = (0..dims[1]).flat_map(|plane| grid(dims[2], dims[3]).map(move |(v, u)| (plane, v, u)));
                let product = |(plane, v, u): (usize, usize, usize)| {
                    let weight = weights[((channel * dims[1] + plane) * dims[2] + v) * dims[3] + u];
                    weight * at(plane, (y + v) as isize - pads[0], (x + u) as isize - pads[1])
                };
                bias[channel] + taps.map(product).sum::<f64>()
            };
            let row = |channel, y| (0..wide).step_by(stride).map(|x| sum(channel, y, x)).collect();
            (0..dims[0]).map(|channel| (0..tall).step_by(stride).map(|y| row(channel, y)).collect()).collect()
        }
        "DepthToSpace" => {
            let order = Order::of(node, planes.len()).unwrap();
            let (factor, height, width) = (order.factor, planes[0].len(), planes[0][0].len());
            let value = |channel: usize, y: usize, x: usize| {
                let (row, column) = (y % factor, x % factor);
                let channel = match node.string("mode") {
                    Some("CRD") => (channel * factor + row) * factor + column,
                    _ => (row * factor + column) * order.channels + channel,
                };
                planes[channel][y / factor][x / factor]
            };
            let row = |channel, y| (0..width * factor).map(|x| value(channel, y, x)).collect();
            (0..order.channels).map(|channel| (0..height * factor).map(|y| row(channel, y)).collect()).collect()
        }
        "Relu" => planes
            .into_iter()
            .map(|plane| plane.into_iter().map(|row| row.into_iter().map(|value| value.max(0.0)).collect()).collect())
            .collect(),
        op => panic!("{op}"),
    })
}

/// Writes all that can be.
fn rewrite(graph: &mut GraphProto, lanes: usize, size: (usize, usize)) -> bool {
    let found = find(graph, lanes, size);
    apply(graph, &found).unwrap();
    !found.is_empty()
}

/// What the graph gives is the same when it is written in blocks; the new graph.
fn same(mut graph: GraphProto, lanes: usize, (width, height): (usize, usize)) -> GraphProto {
    let value = |plane: usize, y: usize, x: usize| ((plane * 31 + y * 17 + x * 5) % 23) as f64 - 11.0;
    let row = |plane, y| (0..width).map(|x| value(plane, y, x)).collect();
    let input: Planes = (0..2).map(|plane| (0..height).map(|y| row(plane, y)).collect()).collect();
    let expected = run(&graph, &input);
    assert!(rewrite(&mut graph, lanes, (width, height)));
    assert!(
        graph.initializer.iter().all(|tensor| tensor.name.as_deref().is_some_and(|name| name.contains("/blocks/")))
    );
    assert_eq!(run(&graph, &input), expected);
    graph
}

fn shuffle(attributes: Vec<AttributeProto>, from: &str) -> NodeProto {
    node("DepthToSpace", &[from], "y", attributes)
}

#[test]
fn blocks_give_the_same_in_both_orders_of_depth_to_space() {
    for mode in [vec![], vec![text("mode", "DCR")], vec![text("mode", "CRD")]] {
        for (channels, side) in [(4, 2), (12, 2), (8, 2)] {
            let attributes = [vec![int("blocksize", side)], mode.clone()].concat();
            let behind = vec![shuffle(attributes, "c")];
            let written = same(graph(channels, pads_around(), behind), 64, (12, 8));
            assert_eq!(written.node.len(), 2, "the one that is there is used");
        }
    }
    let behind = vec![node("Relu", &["c"], "r", vec![]), shuffle(vec![int("blocksize", 2)], "r")];
    let written = same(graph(4, pads_around(), behind), 16, (6, 10));
    assert_eq!((written.node.len(), written.node[2].int("blocksize")), (3, Some(4)));
    assert_eq!(written.node[0].ints("strides"), Some(&[2, 2][..]));
}

#[test]
fn channels_that_are_pixels_get_a_depth_to_space() {
    for channels in [1, 3] {
        let given = graph(channels, pads_around(), vec![]);
        assert!(!rewrite(&mut given.clone(), 16, (8, 8)), "moving its values would be more work");
        let written = same(given, 1024, (8, 8));
        assert_eq!((written.node.len(), written.node[1].op()), (2, "DepthToSpace"));
        assert_eq!(written.node[1].int("blocksize"), Some(4));
    }
}

#[test]
fn what_is_not_understood_is_left_alone() {
    let is_left = |graph: &GraphProto, size| {
        let mut given = graph.clone();
        assert!(!rewrite(&mut given, 16, size));
        assert_eq!(given, *graph);
    };
    let shuffled = || vec![shuffle(vec![int("blocksize", 2)], "c")];
    let with = |attribute| graph(4, [pads_around(), vec![attribute]].concat(), shuffled());
    is_left(&graph(4, pads_around(), shuffled()), (7, 8));
    is_left(&with(ints("strides", &[2, 2])), (8, 8));
    is_left(&with(ints("dilations", &[1, 2])), (8, 8));
    is_left(&with(int("group", 2)), (8, 8));
    is_left(&with(text("auto_pad", "SOMEHOW")), (8, 8));
    is_left(&graph(16, pads_around(), shuffled()), (8, 8));
}

#[test]
fn paddings_by_name_are_those_by_number() {
    for (name, expected) in [("SAME_UPPER", [1, 0, 1, 1]), ("SAME_LOWER", [1, 1, 1, 0]), ("VALID", [0; 4])] {
        let given = node("Conv", &[], "c", vec![text("auto_pad", name)]);
        assert_eq!(given.picture_pads([2, 1]), Some(expected), "{name}");
    }
    let behind = vec![shuffle(vec![int("blocksize", 2)], "c")];
    same(graph(4, vec![text("auto_pad", "SAME_LOWER")], behind), 16, (8, 4));
}

#[test]
fn the_order_of_nodes_does_not_matter() {
    let shuffled = |from: &str, to: &str| node("DepthToSpace", &[from], to, vec![int("blocksize", 2)]);
    let second = || node("Conv", &["x", "v", "b"], "d", pads_around());
    for behind in [[shuffled("c", "y"), second()], [second(), shuffled("c", "y")]] {
        let mut given = graph(4, pads_around(), behind.to_vec());
        // So deep that moving its values is the lesser work.
        given.initializer.push(tensor("v", &[4, 64, 3, 2], 3));
        given.output = vec![port("y"), port("d")];
        assert!(rewrite(&mut given, 16, (8, 8)));
        let of = |output: &str| given.node.iter().find(|node| node.output[0] == output).unwrap();
        assert_eq!((of("y").int("blocksize"), of("y").input[0].as_str()), (Some(4), "c"));
        assert_eq!((of("d").int("blocksize"), of("d").input[0].as_str()), (Some(2), "d/blocks"));
        assert_eq!(of("d/blocks").ints("strides"), Some(&[2, 2][..]));
    }
}

#[test]
fn names_that_are_empty_lead_nowhere() {
    let mut given = graph(4, pads_around(), vec![shuffle(vec![int("blocksize", 2)], "c")]);
    given.node.push(node("Conv", &["x", "w", "b"], "", pads_around()));
    given.node.push(node("Relu", &[""], "", vec![]));
    assert_eq!(find(&given, 16, (8, 8)).len(), 1);
}

#[test]
fn many_convolutions_that_share_weights_take_no_more_memory_than_is_allowed() {
    let mut given = graph(4, pads_around(), vec![shuffle(vec![int("blocksize", 2)], "c")]);
    given.initializer.push(tensor("v", &[1, 512, 3, 3], 3));
    for at in 0..100 {
        given.node.push(node("Conv", &["x", "v"], &format!("more{at}"), pads_around()));
    }
    let found = find(&given, 16, (8, 8));
    let bytes: usize = found.iter().map(Candidate::bytes).sum();
    assert!((2..20).contains(&found.len()) && bytes <= MAX_BYTES, "{} with {bytes} bytes", found.len());
}

/// The bytes of a network of these nodes, from `x` to `y`, one channel each.
fn network(graph: GraphProto) -> std::sync::Arc<[u8]> {
    use crate::model::onnx::proto::*;
    let dim = |text: &str| DimensionProto { dim_value: text.parse().ok(), dim_param: None };
    let picture = |name: &str| {
        let shape = TensorShapeProto { dim: ["1", "1", "h", "w"].map(dim).to_vec() };
        let tensor = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: Some(shape) };
        ValueInfoProto { name: Some(name.to_owned()), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
    };
    let model = ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
        graph: Some(GraphProto { input: vec![picture("x")], output: vec![picture("y")], ..graph }),
        ..ModelProto::default()
    };
    prost::Message::encode_to_vec(&model).into()
}

#[test]
fn outputs_that_are_no_multiple_of_the_picture_are_left_alone() {
    let wide = tensor("u", &[64, 1, 1, 1], 3);
    let few = tensor("w", &[1, 64, 3, 3], 5);
    let first = node("Conv", &["x", "u"], "u1", vec![]);
    let facts = |bytes| {
        let graph = crate::model::onnx::from_bytes(bytes).unwrap();
        graph.facts.picture_facts(&crate::model::overrides::Overrides::default()).unwrap()
    };
    let blocks = |pads: &[i64], behind: Vec<NodeProto>, fixed| {
        let mut nodes = vec![first.clone(), node("Conv", &["u1", "w"], "c", vec![ints("pads", pads)])];
        nodes.extend(behind);
        let initializer = vec![wide.clone(), few.clone()];
        let bytes = network(GraphProto { node: nodes, initializer, ..GraphProto::default() });
        let mut facts = facts(std::sync::Arc::clone(&bytes));
        facts.fixed_size = fixed;
        let found = crate::model::onnx::in_blocks(&bytes, &facts, 16, fixed.unwrap_or((16, 24))).unwrap();
        found.map(|(_, side)| side)
    };
    let identity = || vec![node("Identity", &["c"], "y", vec![])];
    assert_eq!(blocks(&[1, 1, 1, 1], identity(), None), Some(4));
    assert_eq!(blocks(&[1, 1, 1, 1], identity(), Some((18, 22))), Some(2));
    // A mean over a picture of two rows and columns less.
    let mean = || {
        let mean = node("GlobalAveragePool", &["c"], "m", vec![]);
        let nothing = node("Sub", &["x", "x"], "o", vec![]);
        vec![mean, nothing, node("Add", &["m", "o"], "y", vec![])]
    };
    assert_eq!(blocks(&[1, 1, 1, 1], mean(), None), Some(4));
    assert_eq!(blocks(&[0, 0, 0, 0], mean(), None), None);
    assert_eq!(blocks(&[0, 0, 0, 0], mean(), Some((18, 22))), None);
    // Other pads that keep the size.
    assert_eq!(blocks(&[1, 2, 1, 0], mean(), None), Some(4));
}
