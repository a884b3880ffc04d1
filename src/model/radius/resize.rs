//! Resize and Upsample: nearest, linear and cubic along rows and columns, for scales that are small fractions.
//!
//! The scale is read as a fraction `p/q`; then an output element's place among the input repeats every `p` elements
//! and its taps can be written down exactly. Where ONNX Runtime's 32-bit arithmetic might round to a neighbour (a
//! scale that is no whole number), one more tap is counted on both sides.

use super::map::Step;
use super::pointwise::everywhere;
use super::value::{Axis, Value};
use super::{Rule, Stop, Trace, impossible};
use crate::model::onnx::proto::NodeProto;

/// Scales are followed as fractions up to this numerator and denominator.
const MAX_PART: i64 = 64;

/// How places are computed and what is read around them.
struct Kind<'a> {
    mode: &'a str,
    coordinates: &'a str,
    nearest: &'a str,
    antialias: bool,
}

/// `scale` as a fraction in lowest terms, if it is one of small numbers.
fn fraction(scale: f64) -> Option<(i64, i64)> {
    (1..=MAX_PART).find_map(|q| {
        let p = (scale * q as f64).round();
        let near = (p / q as f64 - scale).abs() <= 2e-7 * scale;
        (near && p >= 1.0 && p <= MAX_PART as f64).then_some((p as i64, q))
    })
}

/// Whether places that are computed in 32-bit floats, as general engines do, are rounded by how far from the corner
/// they are. Powers of two divide without rounding; by other factors a place that is one of the elements, or right
/// between two, is still exact if the factor is, and that is all that nearest asks.
fn is_drifting(mode: &str, p: i64, q: i64, scale: f64) -> bool {
    let is_exact = f64::from(scale as f32) * q as f64 == p as f64;
    let is_power = p.count_ones() == 1 && q.count_ones() == 1;
    !is_exact || (mode != "nearest" && !is_power)
}

/// The taps of a scale `p/q`, `None` for kinds whose places drift over the picture.
fn step(kind: &Kind, p: i64, q: i64, scale: f64) -> Option<Step> {
    // Places in units of 1/(2p): exact integers. `shift` and `back` are the half pixels.
    let half = match kind.coordinates {
        "half_pixel" | "pytorch_half_pixel" | "half_pixel_symmetric" => 1,
        "asymmetric" => 0,
        _ => return None,
    };
    let exact = scale == p as f64 / q as f64 && (q == 1 || (p == 1 && q.count_ones() == 1));
    let spread = if kind.antialias && q > p { (q + p - 1) / p } else { 1 };
    let taps = |phase: i64| {
        let place = (2 * phase + half) * q - half * p;
        let (floor, rest) = (place.div_euclid(2 * p), place.rem_euclid(2 * p));
        let (first, last) = match kind.mode {
            "nearest" => {
                let at = match kind.nearest {
                    "floor" => floor,
                    "ceil" => floor + i64::from(rest > 0),
                    "round_prefer_ceil" => floor + i64::from(rest >= p),
                    _ => floor + i64::from(rest > p),
                };
                (at, at)
            }
            "linear" => (floor - (spread - 1), floor + if rest > 0 || spread > 1 { spread } else { 0 }),
            _ if rest == 0 && exact && spread == 1 => (floor, floor),
            _ => (floor - (2 * spread - 1), floor + 2 * spread),
        };
        let slack = i64::from(!exact);
        (first - slack..=last + slack).collect()
    };
    Some(Step { up: p, down: q, taps: (0..p).map(taps).collect() })
}

impl Trace<'_> {
    pub(super) fn resize(&mut self, node: &NodeProto, inputs: &[Option<&Value>]) -> Rule<Vec<Value>> {
        let data = inputs[0].ok_or(Stop::Opaque)?;
        let old = node.op() == "Upsample" || self.opset < 11;
        let kind = Kind {
            mode: match node.string("mode").unwrap_or("nearest") {
                "bilinear" => "linear",
                mode => mode,
            },
            coordinates: if old {
                "asymmetric"
            } else {
                node.string("coordinate_transformation_mode").unwrap_or("half_pixel")
            },
            nearest: if old { "floor" } else { node.string("nearest_mode").unwrap_or("round_prefer_floor") },
            antialias: node.int("antialias") == Some(1),
        };
        if node.string("keep_aspect_ratio_policy").is_some_and(|policy| policy != "stretch") {
            return Err(Stop::Opaque);
        }
        let input = |at: usize| inputs.get(at).copied().flatten().filter(|value| value.count() > 0.0);
        let numbers =
            |value: &Value| value.known.as_ref().map(|known| known.iter().map(|n| n.value).collect::<Vec<_>>());
        let attribute = node.floats("scales").map(|scales| scales.iter().map(|&scale| f64::from(scale)).collect());
        let scales = input(if old { 1 } else { 2 });
        let sizes = if old { None } else { input(3) };
        let (scales, sizes): (Option<Vec<f64>>, Option<Vec<f64>>) = match (scales, sizes) {
            (_, Some(sizes)) => (None, Some(numbers(sizes).ok_or(Stop::Opaque)?)),
            (Some(scales), None) => (Some(numbers(scales).ok_or(Stop::Opaque)?), None),
            (None, None) => (attribute, None),
        };
        let rank = data.axes().len();
        let given = scales.as_ref().or(sizes.as_ref()).ok_or(Stop::Opaque)?;
        let listed = node.ints("axes").map_or_else(|| (0..rank as i64).collect(), <[i64]>::to_vec);
        if given.len() != listed.len() {
            return impossible(format!("{} sizes or scales for {} axes", given.len(), listed.len()));
        }
        let (mut axes, mut local) = (data.axes().to_vec(), true);
        for (&axis, &given) in listed.iter().zip(given) {
            let axis = super::fold::resolve(axis, rank).ok_or(Stop::Opaque)?;
            let from = axes[axis].size();
            let (size, scale) =
                if sizes.is_some() { (given, given / from as f64) } else { (given * from as f64, given) };
            let size = (size + 1e-3).floor() as i64;
            if size < 1 || !scale.is_finite() {
                return impossible(format!("it makes {size} of {from}"));
            }
            if scale == 1.0 {
                continue;
            }
            let stepped = match axes[axis].as_spatial() {
                Some(mut factor) => match fraction(scale).and_then(|(p, q)| Some((step(&kind, p, q, scale)?, p, q))) {
                    Some((step, p, q)) => {
                        if self.drifting.is_none() && is_drifting(kind.mode, p, q, scale) {
                            self.drifting = Some(node.label());
                        }
                        // Linear and cubic taps hold the edge that a tap beyond it is moved to; a nearest one is alone.
                        let beyond = step.taps.iter().flatten().any(|tap| !(0..step.down).contains(tap));
                        if let Some(map) = factor.map().filter(|_| beyond && kind.mode == "nearest") {
                            factor = factor.moved(factor.size, map.folded(factor.size, self.side(&factor)));
                        }
                        self.step(node, &factor, &step, size)?
                    }
                    None => None,
                },
                None => axes[axis].is_plain().then(|| Axis::plain(size)),
            };
            local &= stepped.is_some();
            axes[axis] = stepped.unwrap_or_else(|| Axis::plain(size));
        }
        self.reaches(node, kind.mode);
        let value = data.reshaped(axes);
        Ok(vec![if local { value } else { value.looking_everywhere(everywhere(node)) }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_read_as_fractions() {
        assert_eq!(fraction(2.0), Some((2, 1)));
        assert_eq!(fraction(f64::from(1.0f32 / 3.0)), Some((1, 3)));
        assert_eq!(fraction(1.5), Some((3, 2)));
        assert_eq!(fraction(0.001), None);
    }

    #[test]
    fn places_drift_where_a_factor_is_no_power_of_two() {
        for (mode, p, q, expected) in [
            ("linear", 2, 1, false),
            ("cubic", 1, 4, false),
            ("linear", 3, 1, true),
            ("cubic", 5, 1, true),
            ("linear", 3, 2, true),
            ("linear", 1, 3, true),
            ("nearest", 3, 1, false),
            ("nearest", 3, 2, false),
            ("nearest", 1, 3, true),
        ] {
            for scale in [p as f64 / q as f64, f64::from(p as f32 / q as f32)] {
                assert_eq!(is_drifting(mode, p, q, scale), expected, "{mode} {p}/{q}");
            }
        }
    }

    #[test]
    fn taps_are_those_of_the_definition() {
        let kind = |mode, coordinates| Kind { mode, coordinates, nearest: "floor", antialias: false };
        let taps = |kind: &Kind, p, q| step(kind, p, q, p as f64 / q as f64).unwrap().taps;
        assert_eq!(taps(&kind("nearest", "asymmetric"), 2, 1), [[0], [0]]);
        assert_eq!(taps(&kind("linear", "half_pixel"), 2, 1), [[-1, 0], [0, 1]]);
        assert_eq!(taps(&kind("linear", "half_pixel"), 1, 2), [[0, 1]]);
        assert_eq!(taps(&kind("cubic", "asymmetric"), 2, 1), [vec![0], vec![-1, 0, 1, 2]]);
        assert!(step(&kind("linear", "align_corners"), 2, 1, 2.0).is_none());
    }
}
