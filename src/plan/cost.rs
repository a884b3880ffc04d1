//! What running a window costs: so much a call, and so much a pixel.
//!
//! Measured on this project's networks with one core, the cost of a pixel is the same within 5 % from windows of 48x48
//! to whole frames, and a call costs as much as a few hundred pixels; so two numbers tell all.

/// The cost of windows of any size, in seconds of one core.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CostModel {
    /// Of a call.
    pub per_call: f64,
    /// Of an input pixel of a window.
    pub per_pixel: f64,
}

/// Pixels that a call costs as much as, where nothing was measured: of the networks measured, the most.
const CALL_IN_PIXELS: f64 = 500.0;

/// Seconds that comparing a pixel with the one before and choosing windows takes at most, where much has changed.
const LOOK: f64 = 1e-9;

/// The share of a window's cost above which the cost of the call is worth saving by joining windows.
const CALL_SHARE: f64 = 0.03;

/// Windows that are joined at most; more gain nothing and cost memory.
const MAX_JOINED: usize = 8;

impl CostModel {
    /// In no particular unit, for a network that was not measured.
    pub const UNMEASURED: CostModel = CostModel { per_call: CALL_IN_PIXELS, per_pixel: 1.0 };

    /// The line through measured costs of windows, by their pixels; the nearest with neither part negative.
    pub fn fit(measured: &[(usize, f64)]) -> CostModel {
        let n = measured.len() as f64;
        let sum = |of: &dyn Fn(f64, f64) -> f64| measured.iter().map(|&(x, y)| of(x as f64, y)).sum::<f64>();
        // Relative errors count, so each line of the least squares is divided by the cost.
        let (a, b, c) = (sum(&|_, y| 1.0 / (y * y)), sum(&|x, y| x / (y * y)), sum(&|x, y| x * x / (y * y)));
        let (d, e) = (sum(&|_, y| 1.0 / y), sum(&|x, y| x / y));
        let determinant = a * c - b * b;
        let through_zero = CostModel { per_call: 0.0, per_pixel: e / c };
        if n < 2.0 || determinant <= f64::EPSILON * a * c {
            return through_zero;
        }
        let fitted = CostModel { per_call: (d * c - b * e) / determinant, per_pixel: (a * e - b * d) / determinant };
        if fitted.per_call < 0.0 || fitted.per_pixel <= 0.0 { through_zero } else { fitted }
    }

    /// The cost of a window.
    pub fn of(&self, (width, height): (usize, usize)) -> f64 {
        self.per_call + self.per_pixel * (width * height) as f64
    }

    /// Whether a pixel costs no more than finding out whether it changed.
    pub fn is_trivial(&self) -> bool {
        self.per_pixel < LOOK
    }

    /// How many windows of a size are worth joining into one call.
    pub fn joined(&self, size: (usize, usize)) -> usize {
        let share = self.per_call / self.of(size);
        if share <= CALL_SHARE { 1 } else { ((share / CALL_SHARE).ceil() as usize).min(MAX_JOINED) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_costs_come_back() {
        let model = CostModel { per_call: 2e-5, per_pixel: 3e-7 };
        let sizes = [(44, 44), (90, 150), (250, 152)];
        let measured: Vec<_> = sizes.iter().map(|&(w, h)| (w * h, model.of((w, h)))).collect();
        let fitted = CostModel::fit(&measured);
        assert!((fitted.per_call / model.per_call - 1.0).abs() < 1e-6, "{fitted:?}");
        assert!((fitted.per_pixel / model.per_pixel - 1.0).abs() < 1e-6, "{fitted:?}");
        assert_eq!(CostModel::fit(&[(100, 2.0)]), CostModel { per_call: 0.0, per_pixel: 0.02 });
        // Noise can make large windows look cheap; no part is ever negative.
        let odd = CostModel::fit(&[(100, 1.0), (200, 3.0)]);
        assert!(odd.per_call == 0.0 && odd.per_pixel > 0.0);
    }

    #[test]
    fn windows_are_joined_only_where_calls_are_dear() {
        let model = CostModel { per_call: 100.0, per_pixel: 1.0 };
        assert_eq!(model.joined((64, 64)), 1);
        assert_eq!(model.joined((24, 24)), 5);
        assert_eq!(model.joined((8, 8)), 8);
    }
}
