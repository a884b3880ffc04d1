//! Small graphs, whose facts are plain to see.

use prost::Message;

use super::*;
use crate::model::onnx::from_bytes;
use crate::model::onnx::proto::{
    AttributeProto, DimensionProto, FunctionProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

fn node(op: &str, input: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    let input = input.iter().map(|name| (*name).to_owned()).collect();
    let (op_type, output) = (Some(op.to_owned()), vec![output.to_owned()]);
    NodeProto { op_type, input, output, attribute, ..NodeProto::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), i: Some(value), ..AttributeProto::default() }
}

fn floats(name: &str, dims: &[i64], value: f32) -> TensorProto {
    let float_data = vec![value; dims.iter().product::<i64>() as usize];
    let (name, dims) = (Some(name.to_owned()), dims.to_vec());
    TensorProto { name, dims, data_type: Some(data_type::FLOAT), float_data, ..TensorProto::default() }
}

fn integers(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    let (name, dims, int64_data) = (Some(name.to_owned()), dims.to_vec(), values.to_vec());
    TensorProto { name, dims, data_type: Some(data_type::INT64), int64_data, ..TensorProto::default() }
}

/// A luma picture of any size.
fn port(name: &str) -> ValueInfoProto {
    let free = |name: &str| DimensionProto { dim_param: Some(name.to_owned()), ..DimensionProto::default() };
    let channel = DimensionProto { dim_value: Some(1), ..DimensionProto::default() };
    let shape = TensorShapeProto { dim: vec![free("n"), channel, free("h"), free("w")] };
    let tensor_type = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: Some(shape) };
    let r#type = Some(TypeProto { tensor_type: Some(tensor_type) });
    ValueInfoProto { name: Some(name.to_owned()), r#type }
}

/// From the picture `x` to the picture `y`.
fn model(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    let (input, output) = (vec![port("x")], vec![port("y")]);
    ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
        graph: Some(GraphProto { node: nodes, initializer, input, output, ..GraphProto::default() }),
        ..ModelProto::default()
    }
}

fn facts(model: &ModelProto) -> GraphFacts {
    from_bytes(model.encode_to_vec().into()).unwrap_or_else(|error| panic!("{error}")).facts
}

/// White of the input and of the output.
fn white(model: &ModelProto, overrides: &Overrides) -> (f32, f32) {
    let facts = facts(model).picture_facts(overrides).unwrap();
    (facts.input.white, facts.output.white)
}

/// An activation between what is done to the input, `x` to `a`, and to the output, `b` to `y`.
fn between(first: Vec<NodeProto>, last: Vec<NodeProto>) -> ModelProto {
    let nodes = first.into_iter().chain([node("Sigmoid", &["a"], "b", Vec::new())]).chain(last);
    let constants = [("255", 255.0), ("1/255", 1.0 / 255.0), ("256", 256.0), ("0", 0.0), ("1", 1.0), ("mean", 114.4)];
    model(nodes.collect(), constants.map(|(name, value)| floats(name, &[], value)).to_vec())
}

fn only(op: &str, input: &[&str], output: &str) -> Vec<NodeProto> {
    vec![node(op, input, output, Vec::new())]
}

#[test]
fn a_graph_that_divides_by_255_takes_code_values() {
    let nothing = Overrides::default();
    let (divide, multiply) = (only("Div", &["x", "255"], "a"), only("Mul", &["255", "b"], "y"));
    let (keep, give) = (only("Identity", &["x"], "a"), only("Identity", &["b"], "y"));
    let both = between(divide.clone(), multiply.clone());
    assert_eq!(white(&both, &nothing), (255.0, 255.0));
    assert_eq!(white(&between(divide.clone(), give.clone()), &nothing), (255.0, 1.0), "each by itself");
    assert_eq!(white(&between(keep.clone(), multiply.clone()), &nothing), (1.0, 255.0));
    assert_eq!(white(&between(keep, give.clone()), &nothing), (1.0, 1.0));
    // By the reciprocal, without the mean, cut and rounded.
    let steps = [only("Sub", &["x", "mean"], "m"), only("Mul", &["m", "1/255"], "a")].concat();
    let cut = vec![
        node("Div", &["b", "1/255"], "c", Vec::new()),
        node("Clip", &["c", "0", "255"], "d", Vec::new()),
        node("Round", &["d"], "e", Vec::new()),
        node("Cast", &["e"], "y", vec![int("to", i64::from(data_type::FLOAT))]),
    ];
    assert_eq!(white(&between(steps, cut), &nothing), (255.0, 255.0));
    // What is said holds.
    let said = |white| Overrides { white: Some(white), ..Overrides::default() };
    assert_eq!(white(&both, &said(1.0)), (1.0, 1.0));
    let only_output = Overrides { output_white: Some(1.0), ..Overrides::default() };
    assert_eq!(white(&both, &only_output), (255.0, 1.0));
    let entry = StringStringEntryProto { key: Some("input_range".into()), value: Some("0-1".into()) };
    assert_eq!(white(&ModelProto { metadata_props: vec![entry], ..both.clone() }, &nothing), (1.0, 1.0));
    let conclusions = facts(&both).conclusions;
    let whites = conclusions.iter().filter(|conclusion| conclusion.fact.ends_with("white"));
    assert!(whites.map(|conclusion| conclusion.value.as_str()).eq(["255", "255"]));
}

#[test]
fn what_only_looks_like_code_values_proves_nothing() {
    let nothing = Overrides::default();
    let give = only("Identity", &["b"], "y");
    let refuted = [
        only("Div", &["x", "256"], "a"),
        only("Mul", &["x", "255"], "a"),
        only("Div", &["255", "x"], "a"),
        [only("Clip", &["x", "0", "1"], "c"), only("Div", &["c", "255"], "a")].concat(),
        // The picture goes elsewhere as it is.
        [only("Div", &["x", "255"], "c"), only("Add", &["c", "x"], "a")].concat(),
    ];
    for first in refuted {
        assert_eq!(white(&between(first.clone(), give.clone()), &nothing).0, 1.0, "{first:?}");
    }
    let refuted = [
        only("Div", &["b", "255"], "y"),
        [only("Mul", &["b", "255"], "c"), only("Clip", &["c", "0", "1"], "y")].concat(),
        [only("Mul", &["b", "255"], "c"), only("Add", &["c", "x"], "y")].concat(),
    ];
    for last in refuted {
        let model = between(only("Identity", &["x"], "a"), last.clone());
        assert_eq!(white(&model, &nothing).1, 1.0, "{last:?}");
    }
}

/// The radius of a convolution of the picture beside the plane `map`, which these nodes make from constants and from
/// the picture's size: `size` holds all of it, `rows` the rows as a float, `shape` the plane's, and `fill` is the same
/// everywhere.
fn radius_beside(nodes: Vec<NodeProto>) -> Option<usize> {
    let value =
        AttributeProto { name: Some("value".into()), t: Some(floats("", &[1], 0.06)), ..AttributeProto::default() };
    let pads = AttributeProto { name: Some("pads".into()), ints: vec![1; 4], ..AttributeProto::default() };
    let first = [
        node("Shape", &["x"], "size", Vec::new()),
        node("Slice", &["size", "2", "4", "0"], "sides", Vec::new()),
        node("Concat", &["ones", "sides"], "shape", vec![int("axis", 0)]),
        node("ConstantOfShape", &["shape"], "fill", vec![value]),
        node("Gather", &["size", "third"], "height", Vec::new()),
        node("Cast", &["height"], "rows", vec![int("to", i64::from(data_type::FLOAT))]),
    ];
    let last = [
        node("Concat", &["map", "x"], "both", vec![int("axis", 1)]),
        node("Conv", &["both", "weights"], "y", vec![pads]),
    ];
    let weights = vec![
        integers("2", &[1], &[2]),
        integers("4", &[1], &[4]),
        integers("0", &[1], &[0]),
        integers("ones", &[2], &[1, 1]),
        integers("third", &[], &[2]),
        integers("sides axes", &[2], &[2, 3]),
        floats("sigma", &[], 0.1),
        floats("weights", &[1, 2, 3, 3], 0.1),
    ];
    facts(&model(first.into_iter().chain(nodes).chain(last).collect(), weights)).radius
}

#[test]
fn a_plane_that_is_the_same_everywhere_goes_with_every_place() {
    assert_eq!(radius_beside(only("Identity", &["fill"], "map")), Some(1));
    assert_eq!(radius_beside(only("Mul", &["fill", "sigma"], "map")), Some(1));
    assert_eq!(radius_beside(only("Expand", &["sigma", "shape"], "map")), Some(1));
}

#[test]
fn a_plane_that_the_size_is_in_does_not() {
    let sum = node("ReduceSum", &["fill", "sides axes"], "sum", vec![int("keepdims", 1)]);
    let tables = [
        only("Mul", &["fill", "rows"], "map"),
        only("Expand", &["rows", "shape"], "map"),
        only("CumSum", &["fill", "third"], "map"),
        vec![sum, node("Expand", &["sum", "shape"], "map", Vec::new())],
        // As large as the plane, and as many as there are rows.
        [only("Shape", &["fill"], "s"), only("Gather", &["s", "third"], "n"), only("Expand", &["n", "shape"], "m")]
            .concat()
            .into_iter()
            .chain([node("Cast", &["m"], "map", vec![int("to", i64::from(data_type::FLOAT))])])
            .collect(),
    ];
    for nodes in tables {
        assert_eq!(radius_beside(nodes.clone()), None, "{nodes:?}");
    }
}

#[test]
fn functions_of_the_file_are_refused_where_they_are_called() {
    let function = |domain: &str, name: &str| FunctionProto { name: Some(name.into()), domain: Some(domain.into()) };
    let calling = |domain: &str, op: &str, functions: &[FunctionProto]| {
        let call = NodeProto { domain: Some(domain.to_owned()), ..node(op, &["x"], "y", Vec::new()) };
        let functions = functions.iter().map(|function| function.encode_to_vec().into()).collect();
        from_bytes(ModelProto { functions, ..model(vec![call], Vec::new()) }.encode_to_vec().into())
    };
    for (domain, op) in [("my.dom", "MyAct"), ("my.dom", "Relu"), ("", "Relu")] {
        let message = calling(domain, op, &[function(domain, op)]).err().unwrap().to_string();
        assert!(message.contains("a local function of the file; inline it with onnx.inliner"), "{message}");
    }
    assert!(calling("", "Relu", &[function("my.dom", "Relu")]).is_ok(), "nothing calls it");
    assert!(calling("my.dom", "MyAct", &[]).err().unwrap().to_string().contains("custom operator"));
}

#[test]
fn an_output_that_does_not_grow_with_the_input_is_shown_with_its_size() {
    let refusal = |nodes: Vec<NodeProto>| {
        let lists = vec![integers("rows", &[1], &[2]), integers("columns", &[1], &[3])];
        facts(&model(nodes, lists)).refusal().unwrap().to_owned()
    };
    let mean = |axis: &str| vec![node("ReduceSum", &["x", axis], "y", vec![int("keepdims", 1)])];
    let one = refusal(only("GlobalAveragePool", &["x"], "y"));
    assert!(one.contains(" is 1x1 whatever the input's size, not a picture, vproc runs "), "{one}");
    let row = refusal(mean("rows"));
    assert!(row.contains(" has a height of 1 whatever the input's size"), "{row}");
    let column = refusal(mean("columns"));
    assert!(column.contains(" has a width of 1 whatever the input's size"), "{column}");
    // Neither stays, and the number is the network's own.
    let strides = AttributeProto { name: Some("strides".into()), ints: vec![2; 2], ..AttributeProto::default() };
    let kernel = AttributeProto { name: Some("kernel_shape".into()), ints: vec![2; 2], ..AttributeProto::default() };
    let half = refusal(vec![node("MaxPool", &["x"], "y", vec![strides, kernel])]);
    assert!(half.contains(" is 2.000 times smaller than the input"), "{half}");
}
