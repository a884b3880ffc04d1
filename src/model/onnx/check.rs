//! What a graph must be before anything is computed from it or any library sees it.
//!
//! Operators are allowed by name, weights must have as many bytes as their shapes say, every tensor is given once and
//! before it is read, and the settings of convolutions agree with each other. An engine trusts all of that and does
//! not always check it.

use std::collections::HashSet;

use prost::Message;

use super::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, data_type, short};
use crate::error::{Context, Error, Kind, Result};

/// Nodes a graph may have, those of its subgraphs included.
const MAX_NODES: usize = 20_000;
/// Levels of graphs in graphs.
const MAX_LEVELS: usize = 6;
/// Graphs in graphs; each is judged with all names around it.
const MAX_GRAPHS: usize = 256;
/// Bytes of a name.
const MAX_NAME: usize = 4096;
/// Dimensions of a tensor.
const MAX_RANK: usize = 8;
/// The versions of the format that the rules here are written for.
const IR_VERSIONS: std::ops::RangeInclusive<i64> = 3..=14;
/// The versions of the standard operators that the rules here are written for.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=26;

/// Standard operators that give the same answer every time and touch nothing but their tensors.
const OPERATORS: &str = "Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool \
    BatchNormalization BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip \
    Col2Im Compress Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumSum DeformConv \
    DepthToSpace DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike \
    Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater \
    GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Hardmax Identity If InstanceNormalization \
    IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool \
    MatMul MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization Min Mish Mod Mul Neg \
    NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization \
    RNN Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd \
    ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round Scan ScatterElements ScatterND Selu \
    Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum \
    Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor";
/// Operators of `com.microsoft` that ONNX Runtime's CPU provider has and the rules of `radius` know.
const MICROSOFT: &str = "BiasGelu FastGelu FusedConv Gelu QuickGelu";
/// Standard operators whose answer changes from run to run.
const RANDOM: &str = "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike";

fn refuse(what: String) -> Error {
    Error::new(Kind::Network, what)
}

fn listed(list: &str, op: &str) -> bool {
    list.split_ascii_whitespace().any(|name| name == op)
}

/// Judges a decoded file; gives the opset of the standard operators.
pub fn check(model: &ModelProto) -> Result<i64> {
    let ir = model.ir_version.unwrap_or(0);
    if !IR_VERSIONS.contains(&ir) {
        return Err(refuse(format!(
            "IR version {ir}, vproc reads {IR_VERSIONS:?}; export it again for another version"
        )));
    }
    let standard = |domain: &Option<String>| matches!(domain.as_deref().unwrap_or(""), "" | "ai.onnx");
    let opset = model.opset_import.iter().find(|import| standard(&import.domain));
    let opset = opset.and_then(|import| import.version).unwrap_or(0);
    if !OPSETS.contains(&opset) {
        return Err(refuse(format!("opset {opset}, vproc reads {OPSETS:?}; convert it with onnx.version_converter")));
    }
    let graph = model.graph.as_ref().ok_or_else(|| refuse("the file holds no graph".into()))?;
    let mut judge = Judge { functions: functions(model), n_nodes: 0, n_graphs: 0 };
    judge.graph(graph, &HashSet::new(), 0)?;
    Ok(opset)
}

/// Domains and names of the operators that a file defines itself.
fn functions(model: &ModelProto) -> HashSet<(String, String)> {
    let decoded = model.functions.iter().filter_map(|bytes| FunctionProto::decode(bytes.clone()).ok());
    decoded.map(|function| (function.domain.unwrap_or_default(), function.name.unwrap_or_default())).collect()
}

struct Judge {
    functions: HashSet<(String, String)>,
    n_nodes: usize,
    n_graphs: usize,
}

impl Judge {
    fn graph<'a>(&mut self, graph: &'a GraphProto, outer: &HashSet<&'a str>, level: usize) -> Result<()> {
        if level > MAX_LEVELS {
            return Err(refuse(format!("graphs lie over {MAX_LEVELS} deep in graphs (Loop, If, Scan)")));
        }
        self.n_nodes += graph.node.len();
        self.n_graphs += 1;
        if self.n_graphs > MAX_GRAPHS {
            return Err(refuse(format!(
                "over {MAX_GRAPHS} graphs in graphs (Loop, If, Scan); simplify it with onnxsim"
            )));
        }
        if self.n_nodes > MAX_NODES {
            return Err(refuse(format!("over {MAX_NODES} nodes; simplify it, for example with onnxsim")));
        }
        if !graph.sparse_initializer.is_empty() {
            return Err(refuse("it has sparse weights; store them densely".into()));
        }
        let mut given = outer.clone();
        for tensor in &graph.initializer {
            let name = tensor.name.as_deref().unwrap_or("");
            check_tensor(tensor, level).context(|| format!("weights `{}`", short(name)))?;
            named(name)?;
            if !given.insert(name) {
                return Err(refuse(format!("the weights `{}` are given twice", short(name))));
            }
        }
        for input in &graph.input {
            let name = input.name.as_deref().unwrap_or("");
            named(name)?;
            given.insert(name);
        }
        for node in &graph.node {
            self.node(node, &given, level).context(|| node.label())?;
            for output in node.output.iter().filter(|output| !output.is_empty()) {
                named(output)?;
                if !given.insert(output) {
                    return Err(refuse(format!("{}: `{}` is given twice", node.label(), short(output))));
                }
            }
        }
        for output in &graph.output {
            let name = output.name.as_deref().unwrap_or("");
            if !given.contains(name) {
                return Err(refuse(format!("nothing gives the output `{}`", short(name))));
            }
        }
        Ok(())
    }

    fn node<'a>(&mut self, node: &'a NodeProto, given: &HashSet<&'a str>, level: usize) -> Result<()> {
        let (op, domain) = (node.op(), node.domain.as_deref().unwrap_or(""));
        match domain {
            // Before all others: an engine may take the file's word for a standard operator too.
            _ if self.functions.contains(&(domain.to_owned(), op.to_owned())) => {
                return Err(refuse(format!(
                    "{} of `{}` is a local function of the file; inline it with onnx.inliner.inline_local_functions",
                    short(op),
                    short(domain)
                )));
            }
            "" | "ai.onnx" if listed(RANDOM, op) => {
                return Err(refuse("its answer changes from run to run; export the network for inference".into()));
            }
            "" | "ai.onnx" if listed(OPERATORS, op) => {}
            "com.microsoft" if listed(MICROSOFT, op) => {}
            "" | "ai.onnx" => return Err(refuse(format!("operator {} is not one that vproc runs", short(op)))),
            _ => {
                return Err(refuse(format!(
                    "custom operator {} of `{}`; export it with standard operators only",
                    short(op),
                    short(domain)
                )));
            }
        }
        if let Some(input) = node.input.iter().find(|input| !input.is_empty() && !given.contains(input.as_str())) {
            return Err(refuse(format!("it reads `{}`, which nothing before it gives", short(input))));
        }
        if node.output.is_empty() {
            return Err(refuse("it gives nothing".into()));
        }
        windows_agree(node)?;
        for attribute in &node.attribute {
            self.attribute(attribute, given, level)?;
        }
        Ok(())
    }

    fn attribute<'a>(&mut self, attribute: &'a AttributeProto, given: &HashSet<&'a str>, level: usize) -> Result<()> {
        if attribute.ref_attr_name.as_deref().is_some_and(|name| !name.is_empty()) || attribute.sparse_tensor.is_some()
        {
            return Err(refuse("it has an attribute that is sparse or belongs to a function; inline functions".into()));
        }
        // Only the main graph's own constants may lie outside the file: others are never looked for.
        attribute.t.iter().try_for_each(|tensor| check_tensor(tensor, level))?;
        attribute.tensors.iter().try_for_each(|tensor| check_tensor(tensor, level + 1))?;
        attribute.g.iter().chain(&attribute.graphs).try_for_each(|graph| self.graph(graph, given, level + 1))
    }
}

fn named(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(refuse(format!("a tensor's name has {} bytes, 1 to {MAX_NAME} are allowed", name.len())));
    }
    Ok(())
}

/// The bytes a tensor's shape and type ask for.
pub fn tensor_bytes(tensor: &TensorProto) -> Result<u64> {
    let kind = tensor.data_type.unwrap_or(0);
    let (size, _) = data_type::describe(kind)
        .ok_or_else(|| refuse(format!("element type {kind} is not one that vproc reads (floats, integers, bool)")))?;
    if tensor.dims.len() > MAX_RANK {
        return Err(refuse(format!("{} dimensions, at most {MAX_RANK} are allowed", tensor.dims.len())));
    }
    let mut bytes = size as u64;
    for &dim in &tensor.dims {
        let dim =
            u64::try_from(dim).map_err(|_| refuse(format!("shape {:?} has a negative dimension", tensor.dims)))?;
        bytes = bytes.checked_mul(dim).ok_or_else(|| refuse(format!("shape {:?} is too large", tensor.dims)))?;
    }
    Ok(bytes)
}

fn check_tensor(tensor: &TensorProto, level: usize) -> Result<()> {
    let needed = tensor_bytes(tensor)?;
    if tensor.segment.is_some() {
        return Err(refuse("it is stored in segments; save it again".into()));
    }
    let location = tensor.data_location.unwrap_or(0);
    if location == 1 || !tensor.external_data.is_empty() {
        let first = location == 1 && level == 0;
        return if first { Ok(()) } else { Err(refuse("external data where vproc reads none; inline it".into())) };
    }
    let (size, name) = data_type::describe(tensor.data_type.unwrap_or(0)).expect("tensor_bytes has named the type");
    let stored = match &tensor.raw_data {
        Some(raw) if !raw.is_empty() => raw.len(),
        _ => {
            use data_type::*;
            let count = match tensor.data_type.unwrap_or(0) {
                FLOAT => tensor.float_data.len(),
                DOUBLE => tensor.double_data.len(),
                INT64 => tensor.int64_data.len(),
                UINT32 | UINT64 => tensor.uint64_data.len(),
                _ => tensor.int32_data.len(),
            };
            count * size
        }
    };
    if stored as u64 != needed {
        return Err(refuse(format!(
            "{stored} bytes, shape {:?} of {name} needs {needed}; export it again",
            tensor.dims
        )));
    }
    Ok(())
}

/// Kernel, strides, dilations and pads of a convolution or pooling must be of one rank and of sane size.
fn windows_agree(node: &NodeProto) -> Result<()> {
    let op = node.op();
    if !op.contains("Conv") && !op.ends_with("Pool") {
        return Ok(());
    }
    let mut rank = None;
    for (name, per_axis, range) in
        [("kernel_shape", 1, 1..=4096), ("strides", 1, 1..=4096), ("dilations", 1, 1..=4096), ("pads", 2, 0..=4096)]
    {
        let Some(values) = node.ints(name) else { continue };
        if let Some(value) = values.iter().find(|value| !range.contains(*value)) {
            return Err(refuse(format!("{name} holds {value}, {range:?} is allowed")));
        }
        let axes = values.len() / per_axis;
        if values.len() % per_axis != 0 || *rank.get_or_insert(axes) != axes || axes > 3 {
            return Err(refuse(format!("{name} has {} entries, which does not fit its other settings", values.len())));
        }
    }
    if node.int("group").is_some_and(|group| !(1..=65_535).contains(&group)) {
        return Err(refuse("group is not positive".into()));
    }
    Ok(())
}
