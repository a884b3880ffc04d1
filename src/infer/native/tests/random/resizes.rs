//! Resizes by all factors: the same bits wherever a window begins, and the values of ONNX Runtime.

use super::*;

impl Maker {
    /// A value enlarged by a whole factor.
    pub(super) fn resized(&mut self, from: &Made, factor: usize, mode: &str, coordinates: &str) -> Made {
        let scales = self.fixed(&[4], data_type::FLOAT, &[1.0, 1.0, factor as f64, factor as f64]);
        let settings = vec![string("mode", mode), string("coordinate_transformation_mode", coordinates)];
        let like = Made { up: from.up * factor, extra: from.extra * factor as i64, ..from.clone() };
        self.op("Resize", vec![from.name.clone(), String::new(), scales], settings, &like)
    }
}

#[test]
fn linear_resizes_by_all_factors_are_the_same_in_windows() {
    for factor in [2, 3, 5, 6, 7, 16] {
        for coordinates in ["half_pixel", "asymmetric"] {
            let mut maker = quantized::maker(factor as u64, 3);
            let input = maker.values[0].clone();
            let large = maker.resized(&input, factor, "linear", coordinates);
            let network = maker.network(&large);
            check_bits(&network);
            if !has_runtime() {
                continue;
            }
            let settings = EngineSettings::default();
            let mut engine = NativeEngine::new(&network, &settings).unwrap();
            let mut reference = ort::OrtEngine::new(&network, &settings).unwrap();
            let (error, largest) = difference(&network, &mut engine, &mut reference, (13, 9)).unwrap();
            assert!(error <= 3e-6 * largest, "{factor} {coordinates}: {error} of {largest}");
        }
    }
}
