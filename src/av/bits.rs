//! Bits of a NAL unit's payload, most significant first.

/// A place in a payload.
#[derive(Clone)]
pub struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    /// The payload without its emulation prevention (H.265, 7.3.1.1: the 3 of each 0, 0, 3).
    pub fn new(unit: &[u8]) -> Bits {
        let mut bytes = Vec::with_capacity(unit.len().min(LONGEST));
        let mut n_zeros = 0;
        for &byte in unit.iter().take(LONGEST) {
            if n_zeros >= 2 && byte == 3 {
                n_zeros = 0;
                continue;
            }
            n_zeros = if byte == 0 { n_zeros + 1 } else { 0 };
            bytes.push(byte);
        }
        Bits { bytes, at: 0 }
    }

    /// `u(1)`.
    pub fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// `u(n)`, n up to 32.
    pub fn u(&mut self, n: u32) -> Option<u32> {
        (0..n).try_fold(0u32, |sum, _| Some(sum << 1 | u32::from(self.flag()?)))
    }

    /// Leaves `n` bits out.
    pub fn skip(&mut self, n: usize) -> Option<()> {
        self.at = self.at.checked_add(n)?;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// `ue(v)` (9.2).
    pub fn ue(&mut self) -> Option<u32> {
        let mut n_zeros = 0;
        while !self.flag()? {
            n_zeros += 1;
            if n_zeros > 31 {
                return None;
            }
        }
        Some((1u32 << n_zeros) - 1 + self.u(n_zeros)?)
    }

    /// The same without going on.
    pub fn peek_ue(&self) -> Option<u32> {
        self.clone().ue()
    }

    /// `se(v)` (9.2.2).
    pub fn se(&mut self) -> Option<i32> {
        let code = self.ue()?;
        let size = i32::try_from(code.div_ceil(2)).ok()?;
        Some(if code % 2 == 1 { size } else { -size })
    }
}

/// Headers are short; what is longer than this is picture.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_standard() {
        // Table 9-3: 1, 010, 011, 00100, 00101, 00110, 00111, 0001000.
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1001_1000, 0b1110_0010, 0b0000_0000]);
        assert_eq!((0..8).map(|_| bits.ue().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(bits.ue(), None);
        // Table 9-5 with the same codes.
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1001_1000]);
        assert_eq!((0..5).map(|_| bits.se().unwrap()).collect::<Vec<_>>(), [0, 1, -1, 2, -2]);
    }

    #[test]
    fn emulation_prevention_is_left_out() {
        assert_eq!(Bits::new(&[0, 0, 3, 1, 0, 0, 3, 0, 3]).bytes, [0, 0, 1, 0, 0, 0, 3]);
    }
}
