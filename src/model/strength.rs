//! How strongly a network acts, for those that can be told.
//!
//! Such a network has a number called `strength` among its inputs, of one float, with a value of its own (in ONNX: an
//! initialiser that is an input too), so that any program can run it without saying anything. What suits which source
//! stands in the file's metadata under the same name, such as `22:0 28:1 unknown:0.5`: at a quantiser of 22 in H.264's
//! scale and below it does nothing, from 28 up it acts as it was trained, between the two in proportion.

use crate::error::{Error, Kind};

/// The name of the input, and of its entry in the metadata.
pub const NAME: &str = "strength";

/// Strengths that are chosen are multiples of this, so that sources that differ little share results.
const STEP: f64 = 0.25;

/// More than this in a file's metadata is a mistake.
const MOST: f64 = 4.0;

/// What is known of a network's strength.
#[derive(Clone, Debug, PartialEq)]
pub struct Dial {
    /// The network's own value.
    pub own: f32,
    /// Quantisers with what suits them, rising.
    points: Vec<(f64, f64)>,
    /// What suits a source whose quantiser is not known.
    unknown: Option<f64>,
}

impl Dial {
    /// From the network's own value and its metadata; what cannot be read there counts as not said.
    pub fn new(own: f32, metadata: &[(String, String)]) -> Dial {
        let text = metadata.iter().find(|(key, _)| key == NAME).map_or("", |(_, value)| value.as_str());
        let mut dial = Dial { own, points: Vec::new(), unknown: None };
        for part in text.split_whitespace() {
            let Some((quantiser, value)) = part.split_once(':') else { continue };
            let Some(value) = value.parse().ok().filter(|value: &f64| (0.0..=MOST).contains(value)) else { continue };
            match quantiser.parse() {
                Ok(quantiser) => dial.points.push((quantiser, value)),
                Err(_) if quantiser == "unknown" => dial.unknown = Some(value),
                Err(_) => {}
            }
        }
        dial.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        dial
    }

    /// Something is said of which source wants how much.
    pub fn has_advice(&self) -> bool {
        !self.points.is_empty()
    }

    /// What suits a source with this mean quantiser, or one of which none is known.
    pub fn suited(&self, quantiser: Option<f64>) -> f32 {
        let Some(quantiser) = quantiser else { return self.unknown.map_or(self.own, |value| value as f32) };
        let above = self.points.partition_point(|(at, _)| *at <= quantiser);
        let value = match (self.points[..above].last(), self.points.get(above)) {
            (Some((from, low)), Some((to, high))) => low + (high - low) * (quantiser - from) / (to - from),
            (Some((_, value)), None) | (None, Some((_, value))) => *value,
            (None, None) => return self.own,
        };
        ((value / STEP).round() * STEP) as f32
    }
}

/// Refuses a strength for a network that takes none.
pub fn refused(network: &str) -> Error {
    let message = format!("{network} takes no strength; of the built-in networks `restore` does");
    Error::new(Kind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(text: &str) -> Dial {
        Dial::new(1.0, &[(NAME.to_owned(), text.to_owned())])
    }

    #[test]
    fn between_two_points_it_is_in_proportion() {
        let dial = dial("28:1 22:0 unknown:0.5");
        let suited = |quantiser| dial.suited(Some(quantiser));
        assert_eq!([10.0, 22.0, 25.0, 28.0, 50.0].map(suited), [0.0, 0.0, 0.5, 1.0, 1.0]);
        assert_eq!(suited(26.4), 0.75, "a multiple of a quarter");
        assert_eq!(dial.suited(None), 0.5);
    }

    #[test]
    fn what_is_not_understood_is_not_said() {
        for text in ["", "strong", "22", "a:1", "22:-1", "22:x", "22:nan", "22:1e9"] {
            let dial = dial(text);
            assert!(!dial.has_advice(), "{text}");
            assert_eq!((dial.suited(Some(30.0)), dial.suited(None)), (1.0, 1.0), "{text}");
        }
        assert!(dial("22:0 nonsense").has_advice());
        assert_eq!(dial("22:0 22:1").suited(Some(22.0)), 1.0, "no division by nothing");
    }
}
