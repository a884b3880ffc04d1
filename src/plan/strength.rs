//! How strongly the network acts on a source, where it can be told.

use std::fmt;

use crate::model::Dial;

/// What is known of a video's coding.
#[derive(Clone, Debug, PartialEq)]
pub enum Coding {
    /// Nothing was lost in it, or it never was coded.
    Lossless,
    /// The mean quantiser in H.264's scale, by this codec.
    Quantised(f64, String),
    /// This codec's decoder does not tell.
    Unknown(String),
}

/// A strength that was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Strength {
    /// The value: 0 nothing, 1 as the network was trained.
    pub value: f32,
    /// Why it is that.
    pub why: String,
}

impl Strength {
    /// What a person asked for.
    pub fn asked(value: f32) -> Strength {
        Strength { value, why: "as said".to_owned() }
    }

    /// What suits the source, by what the network says of itself.
    pub fn suited(dial: &Dial, coding: &Coding) -> Strength {
        let (quantiser, why) = match coding {
            Coding::Lossless => (Some(f64::NEG_INFINITY), "the source was coded without loss".to_owned()),
            Coding::Quantised(qp, codec) => {
                (Some(*qp), format!("the source's {codec} has a mean quantiser of {qp:.1} in the scale of H.264"))
            }
            Coding::Unknown(codec) => (None, format!("the quantiser of {codec} is not known")),
        };
        Strength { value: dial.suited(quantiser), why }
    }

    /// What a person should hear who expects the network to do something.
    pub fn warning(&self, network: &str) -> Option<String> {
        let message = || format!("{network} leaves the pictures as they are: {}; --strength 1 makes it act", self.why);
        (self.value == 0.0).then(message)
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.value, self.why)
    }
}
