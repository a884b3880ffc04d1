//! Time as rationals: time bases, and rescaling between them in integers.
//!
//! A pts is an `i64` in some [`TimeBase`]; it rides with its frame and is never recomputed from an index or kept as
//! seconds in a float. Nothing here knows of frames or files.

use std::fmt;

/// A ratio of two integers, not necessarily reduced: a frame rate, a sample aspect ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ratio {
    /// Numerator.
    pub num: i32,
    /// Denominator; 0 means unknown.
    pub den: i32,
}

impl Ratio {
    /// `num / den`.
    pub const fn new(num: i32, den: i32) -> Self {
        Ratio { num, den }
    }

    /// Both parts are positive, so that the ratio says something.
    pub fn is_known(self) -> bool {
        self.num > 0 && self.den > 0
    }

    /// As a sample aspect ratio, unknown counts as square: what shows pictures in their shape that were brought from one
    /// size (width, height) to another. As near as numbers up to 4096 come, which is what encoders keep.
    #[must_use]
    pub fn reshaped(self, from: (usize, usize), to: (usize, usize)) -> Self {
        if from.0 * to.1 == from.1 * to.0 {
            return self;
        }
        let own = if self.is_known() { self } else { Ratio::new(1, 1) };
        let wide = own.as_f64() * (from.0 * to.1) as f64 / (from.1 * to.0) as f64;
        let denominators = 1..=4096;
        let nearest = |den: i32| Ratio::new((wide * f64::from(den)).round().clamp(1.0, 4096.0) as i32, den);
        let error = |ratio: &Ratio| (ratio.as_f64() / wide - 1.0).abs();
        let best = denominators.map(nearest).min_by(|a, b| error(a).total_cmp(&error(b)));
        best.unwrap_or(own)
    }

    /// The value for people and for estimates; never for time stamps.
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// The ratio in lowest terms; unknown ratios as they are.
    #[must_use]
    pub fn reduced(self) -> Self {
        let (mut a, mut b) = (self.num.unsigned_abs(), self.den.unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        match i32::try_from(a) {
            Ok(divisor) if divisor > 1 => Ratio::new(self.num / divisor, self.den / divisor),
            _ => self,
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

/// The length of a tick in seconds, `num / den`, both positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeBase {
    num: i32,
    den: i32,
}

impl TimeBase {
    /// Microseconds.
    pub const MICROS: TimeBase = TimeBase { num: 1, den: 1_000_000 };

    /// A tick of `num / den` seconds; `None` unless both are positive.
    pub fn new(num: i32, den: i32) -> Option<Self> {
        (num > 0 && den > 0).then_some(TimeBase { num, den })
    }

    /// Numerator, positive.
    pub fn num(self) -> i32 {
        self.num
    }

    /// Denominator, positive.
    pub fn den(self) -> i32 {
        self.den
    }

    /// `ticks` of this time base in seconds, for people only.
    pub fn seconds(self, ticks: i64) -> f64 {
        ticks as f64 * f64::from(self.num) / f64::from(self.den)
    }

    /// `ticks` of this time base in ticks of `to`, rounded to the nearest, halves away from zero; saturating.
    pub fn rescale(self, ticks: i64, to: TimeBase) -> i64 {
        let num = i128::from(ticks) * i128::from(self.num) * i128::from(to.den);
        let den = i128::from(self.den) * i128::from(to.num);
        let rounded = (num.abs() + den / 2) / den * num.signum();
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN + 1 } else { i64::MAX })
    }
}

impl fmt::Display for TimeBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(num: i32, den: i32) -> TimeBase {
        TimeBase::new(num, den).unwrap()
    }

    #[test]
    fn a_shape_stays_when_the_size_does_not() {
        let square = Ratio::new(1, 1);
        assert_eq!(square.reshaped((320, 180), (640, 360)), square);
        assert_eq!(square.reshaped((320, 180), (320, 240)), Ratio::new(4, 3));
        assert_eq!(Ratio::new(0, 1).reshaped((720, 576), (720, 288)), Ratio::new(1, 2));
        assert_eq!(Ratio::new(64, 45).reshaped((720, 576), (1024, 576)), square);
        // More than an encoder keeps.
        let odd = square.reshaped((4099, 4098), (4096, 4097));
        assert!(
            odd.num <= 4096 && odd.den <= 4096 && (odd.as_f64() - 4099.0 * 4097.0 / (4098.0 * 4096.0)).abs() < 1e-6
        );
    }

    #[test]
    fn rescaling_rounds_once_and_away_from_zero() {
        assert_eq!(base(1, 90_000).rescale(45, base(1, 1000)), 1);
        assert_eq!(base(1, 90_000).rescale(-45, base(1, 1000)), -1);
        assert_eq!(base(1001, 24_000).rescale(96, base(1, 24_000)), 96_096);
        assert_eq!(base(1, 1).rescale(i64::MAX, base(1, i32::MAX)), i64::MAX);
    }

    #[test]
    fn a_time_base_without_length_does_not_exist() {
        assert_eq!(TimeBase::new(0, 1), None);
        assert_eq!(TimeBase::new(1, 0), None);
        assert_eq!(TimeBase::new(-1, 25), None);
    }
}
