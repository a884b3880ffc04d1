//! The messages of the ONNX format that vproc reads, written by hand after `onnx.proto` (IR version 13).
//!
//! Field numbers are the format's; fields that nothing here needs are skipped by the decoder. Optional fields stay
//! optional so that a graph written again (external data put inline) means the same to an engine.

use prost::Message;
use prost::bytes::Bytes;

/// `TensorProto.DataType`: the element types by their numbers in the format.
pub mod data_type {
    use crate::model::Element;

    pub const FLOAT: i32 = 1;
    pub const UINT8: i32 = 2;
    pub const INT8: i32 = 3;
    pub const UINT16: i32 = 4;
    pub const INT16: i32 = 5;
    pub const INT32: i32 = 6;
    pub const INT64: i32 = 7;
    pub const BOOL: i32 = 9;
    pub const FLOAT16: i32 = 10;
    pub const DOUBLE: i32 = 11;
    pub const UINT32: i32 = 12;
    pub const UINT64: i32 = 13;
    pub const BFLOAT16: i32 = 16;

    /// The number of a picture's element type.
    pub fn of(element: Element) -> i32 {
        match element {
            Element::F32 => FLOAT,
            Element::F16 => FLOAT16,
            Element::U8 => UINT8,
        }
    }

    /// Bytes an element and the name of the type, for the types that vproc reads.
    pub fn describe(number: i32) -> Option<(usize, &'static str)> {
        Some(match number {
            FLOAT => (4, "float32"),
            UINT8 => (1, "uint8"),
            INT8 => (1, "int8"),
            UINT16 => (2, "uint16"),
            INT16 => (2, "int16"),
            INT32 => (4, "int32"),
            INT64 => (8, "int64"),
            BOOL => (1, "bool"),
            FLOAT16 => (2, "float16"),
            DOUBLE => (8, "float64"),
            UINT32 => (4, "uint32"),
            UINT64 => (8, "uint64"),
            BFLOAT16 => (2, "bfloat16"),
            _ => return None,
        })
    }
}

/// A file.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    #[prost(int64, optional, tag = "1")]
    pub ir_version: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub producer_name: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub producer_version: Option<String>,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
    /// Operators that the file defines itself, each a [`FunctionProto`]: one that calls them is refused.
    #[prost(bytes = "bytes", repeated, tag = "25")]
    pub functions: Vec<Bytes>,
}

/// The name of an operator that a file defines itself.
#[derive(Clone, PartialEq, Message)]
pub struct FunctionProto {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "10")]
    pub domain: Option<String>,
}

/// Which version of a domain's operators the graph is written in.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetIdProto {
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    #[prost(int64, optional, tag = "2")]
    pub version: Option<i64>,
}

/// A key and its value.
#[derive(Clone, PartialEq, Message)]
pub struct StringStringEntryProto {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

/// Nodes in an order in which they can be computed, with their weights.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfoProto>,
    /// Counted only: sparse weights are refused.
    #[prost(bytes = "bytes", repeated, tag = "15")]
    pub sparse_initializer: Vec<Bytes>,
}

/// One operator with what it reads and gives.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub op_type: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    #[prost(string, optional, tag = "7")]
    pub domain: Option<String>,
    #[prost(string, optional, tag = "8")]
    pub overload: Option<String>,
}

/// A setting of an operator.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub s: Option<Bytes>,
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    #[prost(message, optional, tag = "6")]
    pub g: Option<GraphProto>,
    #[prost(float, repeated, packed = "false", tag = "7")]
    pub floats: Vec<f32>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub strings: Vec<Bytes>,
    #[prost(message, repeated, tag = "10")]
    pub tensors: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub graphs: Vec<GraphProto>,
    #[prost(int32, optional, tag = "20")]
    pub r#type: Option<i32>,
    /// Set only inside functions, which are refused.
    #[prost(string, optional, tag = "21")]
    pub ref_attr_name: Option<String>,
    /// Refused when present.
    #[prost(bytes = "bytes", optional, tag = "22")]
    pub sparse_tensor: Option<Bytes>,
}

/// A constant: either `raw_data`, little-endian, or one of the typed lists, or a place in another file.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    pub data_type: Option<i32>,
    /// Refused when present.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub segment: Option<Bytes>,
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    #[prost(string, optional, tag = "8")]
    pub name: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub raw_data: Option<Bytes>,
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// 0 in this file, 1 in another.
    #[prost(int32, optional, tag = "14")]
    pub data_location: Option<i32>,
}

/// The name and the type of an input, an output or a tensor between.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

/// A type; anything but a dense tensor is left out and refused.
#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorTypeProto>,
}

/// A dense tensor's element type and shape; an absent shape is of any rank.
#[derive(Clone, PartialEq, Message)]
pub struct TensorTypeProto {
    #[prost(int32, optional, tag = "1")]
    pub elem_type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// A shape.
#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

/// A dimension: a number, a symbol or nothing.
#[derive(Clone, PartialEq, Message)]
pub struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    pub dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub dim_param: Option<String>,
}

impl NodeProto {
    /// The operator.
    pub fn op(&self) -> &str {
        self.op_type.as_deref().unwrap_or("")
    }

    /// The operator and the node's name (or its first output's), for messages.
    pub fn label(&self) -> String {
        let name = self.name.as_deref().filter(|name| !name.is_empty());
        let name = name.or(self.output.first().map(String::as_str)).unwrap_or("");
        format!("{} `{}`", short(self.op()), short(name))
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))
    }

    /// An integer attribute.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.i
    }

    /// A float attribute.
    pub fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name)?.f
    }

    /// A list of integers; `None` when the attribute is absent.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    /// A list of floats; `None` when the attribute is absent.
    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        self.attribute(name).map(|attribute| attribute.floats.as_slice())
    }

    /// A string attribute.
    pub fn string(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.attribute(name)?.s.as_ref()?).ok()
    }

    /// The padding around the picture of a `Conv` whose kernel reaches over so many rows and columns more than its own
    /// pixel: top, left, bottom, right, as the operator defines `auto_pad`. `None` when it has none for a picture.
    pub fn picture_pads(&self, [tall, wide]: [i64; 2]) -> Option<[i64; 4]> {
        match self.string("auto_pad") {
            None | Some("NOTSET" | "") => match self.ints("pads") {
                None | Some([]) => Some([0; 4]),
                Some(pads) => pads.try_into().ok(),
            },
            Some("SAME_UPPER") => Some([tall / 2, wide / 2, tall - tall / 2, wide - wide / 2]),
            Some("SAME_LOWER") => Some([tall - tall / 2, wide - wide / 2, tall / 2, wide / 2]),
            Some("VALID") => Some([0; 4]),
            Some(_) => None,
        }
    }

    /// A tensor attribute.
    pub fn tensor(&self, name: &str) -> Option<&TensorProto> {
        self.attribute(name)?.t.as_ref()
    }
}

impl TensorProto {
    /// The number of elements; the dimensions have been checked when the file was read.
    pub fn count(&self) -> usize {
        self.dims.iter().map(|&dim| dim as usize).product()
    }

    /// Whether it is of the kind that is trained: floats or bytes, no scalar.
    pub fn is_weight(&self) -> bool {
        use data_type::*;
        let kind = self.data_type.unwrap_or(0);
        !self.dims.is_empty() && matches!(kind, FLOAT | FLOAT16 | BFLOAT16 | DOUBLE | INT8 | UINT8)
    }

    /// The elements as numbers, for the small tensors that decide shapes; `None` for types that cannot.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        use data_type::*;
        let kind = self.data_type.unwrap_or(0);
        if let Some(raw) = self.raw_data.as_ref().filter(|raw| !raw.is_empty()) {
            let (size, _) = data_type::describe(kind)?;
            return raw
                .chunks_exact(size)
                .map(|bytes| {
                    Some(match kind {
                        FLOAT => f64::from(f32::from_le_bytes(bytes.try_into().ok()?)),
                        DOUBLE => f64::from_le_bytes(bytes.try_into().ok()?),
                        FLOAT16 => half::f16::from_le_bytes(bytes.try_into().ok()?).to_f64(),
                        INT64 => i64::from_le_bytes(bytes.try_into().ok()?) as f64,
                        INT32 => f64::from(i32::from_le_bytes(bytes.try_into().ok()?)),
                        UINT8 | BOOL => f64::from(bytes[0]),
                        INT8 => f64::from(bytes[0] as i8),
                        UINT16 => f64::from(u16::from_le_bytes(bytes.try_into().ok()?)),
                        INT16 => f64::from(i16::from_le_bytes(bytes.try_into().ok()?)),
                        _ => return None,
                    })
                })
                .collect();
        }
        Some(match kind {
            FLOAT => self.float_data.iter().map(|&value| f64::from(value)).collect(),
            DOUBLE => self.double_data.clone(),
            INT64 => self.int64_data.iter().map(|&value| value as f64).collect(),
            FLOAT16 => self.int32_data.iter().map(|&bits| half::f16::from_bits(bits as u16).to_f64()).collect(),
            INT32 | UINT8 | BOOL | INT8 | UINT16 | INT16 => {
                self.int32_data.iter().map(|&value| f64::from(value)).collect()
            }
            _ => return None,
        })
    }
}

/// At most 60 characters of a name that comes from a file, none of them a control character.
pub fn short(name: &str) -> String {
    let mut text: String = name.chars().take(60).map(|c| if c.is_control() { '?' } else { c }).collect();
    if name.chars().nth(60).is_some() {
        text.push_str("...");
    }
    text
}
