//! Which input rows (or columns) an element of a tensor depends on, exactly, for operators that repeat along the axis.
//!
//! An axis of a tensor has `up` elements for every `down` rows of the network's input. Element `j` depends on the rows
//! `(j div up) * down + reach[j mod up]`, each reach an interval of offsets or nothing. All operators with a kernel, a
//! stride or a scale are [`Step`]s between two such axes, and composing them stays in this form, so radius and
//! alignment of plain networks come out exact and everything else errs on the large side.

/// More phases than this are not followed.
const MAX_UP: i64 = 1024;

/// How an axis depends on the rows or columns of the network's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    up: i64,
    down: i64,
    /// One for each of the `up` phases: first and last offset, or nothing.
    reach: Vec<Option<(i64, i64)>>,
}

/// How an operator's output axis reads its input axis: output `q * up + phase` reads `q * down + taps[phase]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Output elements a period.
    pub up: i64,
    /// Input elements a period.
    pub down: i64,
    /// For each of the `up` phases, the offsets that are read.
    pub taps: Vec<Vec<i64>>,
}

impl Step {
    /// Every `down`-th place, reading `taps` around it.
    pub fn window(down: i64, taps: Vec<i64>) -> Step {
        Step { up: 1, down, taps: vec![taps] }
    }

    /// Each element `up` times.
    pub fn repeat(up: i64) -> Step {
        Step { up, down: 1, taps: vec![vec![0]; up as usize] }
    }

    /// A window of `kernel` taps, `dilation` apart, the first `pad` before the place.
    pub fn kernel(stride: i64, kernel: i64, dilation: i64, pad: i64) -> Step {
        Step::window(stride, (0..kernel).map(|k| k * dilation - pad).collect())
    }

    /// The offsets one period reads in all.
    pub fn cost(&self) -> u64 {
        self.taps.iter().map(|taps| taps.len() as u64).sum()
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

/// The least common multiple of two positive numbers, `None` when it leaves the numbers vproc computes with.
pub fn lcm(a: i64, b: i64) -> Option<i64> {
    (a / gcd(a, b)).checked_mul(b).filter(|&value| value < 1 << 40)
}

fn unite(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

impl Map {
    /// The input itself.
    pub fn identity() -> Map {
        Map { up: 1, down: 1, reach: vec![Some((0, 0))] }
    }

    /// Elements for every [`Map::down`] rows of the input.
    pub fn up(&self) -> i64 {
        self.up
    }

    /// Rows of the input for every [`Map::up`] elements.
    pub fn down(&self) -> i64 {
        self.down
    }

    /// The size that the input must be a multiple of, so that this axis is cut into whole groups of `group`.
    pub fn multiple_for(&self, group: i64) -> i64 {
        let whole = self.down.saturating_mul(group);
        whole / gcd(whole, self.up)
    }

    /// The axis after an operator; `None` when it has too many phases to follow.
    pub fn after(&self, step: &Step) -> Option<Map> {
        let periods = self.up / gcd(self.up, step.down);
        let up = step.up.checked_mul(periods).filter(|&up| up <= MAX_UP)?;
        let down = periods.checked_mul(step.down)?.checked_div(self.up)?.checked_mul(self.down)?;
        let reach = (0..up)
            .map(|phase| {
                let taps = &step.taps[(phase % step.up) as usize];
                let from = phase / step.up * step.down;
                taps.iter().fold(None, |all, tap| unite(all, self.of(from + tap)))
            })
            .collect();
        Some(Map { up, down, reach }.reduced())
    }

    /// The input rows that element `index` depends on, relative to row 0.
    fn of(&self, index: i64) -> Option<(i64, i64)> {
        let base = index.div_euclid(self.up) * self.down;
        self.reach[index.rem_euclid(self.up) as usize].map(|(first, last)| (base + first, base + last))
    }

    /// What depends on either; `None` when the two do not keep step with each other.
    pub fn join(&self, other: &Map) -> Option<Map> {
        if self == other {
            return Some(self.clone());
        }
        if self.up * other.down != other.up * self.down {
            return None;
        }
        let up = lcm(self.up, other.up).filter(|&up| up <= MAX_UP)?;
        let reach = (0..up).map(|phase| unite(self.of(phase), other.of(phase))).collect();
        Some(Map { up, down: up / self.up * self.down, reach }.reduced())
    }

    /// Widens the reach so that it still holds when reads beyond the edge of this axis of `size` elements are folded
    /// back inside (reflection, replication), in a picture of `rows`: a reach to one side then appears on the other.
    ///
    /// With `e` the place of an element in the picture and `lo`, `hi` its reach around it: seen from any pixel, what
    /// element `k` reaches must be no farther than what element `-k` is said to reach, which takes `lo <= -hi`; at the
    /// far edge, whose last element begins `down / up` before the end, it takes `hi >= -lo + 2 (down / up - 1)`.
    pub fn folded(&self, size: i64, rows: i64) -> Map {
        let (up, down) = (self.up, self.down);
        // In parts of 1/up of a row, relative to each element's own place.
        let around = (0..).zip(&self.reach).filter_map(|(phase, reach)| {
            reach.map(|(first, last)| (first * up - phase * down, last * up - phase * down))
        });
        let Some((lo, hi)) = around.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else { return self.clone() };
        // Elements that an earlier crop took away move the far edge inwards.
        let missing = (rows.saturating_mul(up).saturating_sub(size.saturating_mul(down))).clamp(0, 1 << 20);
        let (lo, hi) = (lo.min(-hi), hi.max(2 * (down - up) + 2 * missing - lo));
        let reach = |phase: i64| Some(((lo + phase * down).div_euclid(up), -(-hi - phase * down).div_euclid(up)));
        Map { up, down, reach: (0..up).map(reach).collect() }.reduced()
    }

    /// The radius, when this is the axis of an output with `scale` elements for every input row.
    pub fn radius(&self, scale: i64) -> Option<usize> {
        if self.up != self.down * scale {
            return None;
        }
        let distance = |(phase, &(first, last)): (i64, &(i64, i64))| {
            let row = phase / scale;
            (row - first).max(last - row).max(0) as usize
        };
        let reached = (0..).zip(&self.reach).filter_map(|(phase, reach)| Some((phase, reach.as_ref()?)));
        Some(reached.map(distance).max().unwrap_or(0))
    }

    /// The same with the shortest period.
    fn reduced(mut self) -> Map {
        let mut factor = 2;
        while factor <= gcd(self.up, self.down) {
            let (up, down) = (self.up / factor, self.down / factor);
            let repeats = self.up % factor == 0
                && self.down % factor == 0
                && (up..self.up).all(|phase| {
                    let moved = self.reach[(phase - up) as usize].map(|(first, last)| (first + down, last + down));
                    self.reach[phase as usize] == moved
                });
            if repeats {
                self.reach.truncate(up as usize);
                (self.up, self.down) = (up, down);
            } else {
                factor += 1;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn radius(steps: &[Step], scale: i64) -> Option<usize> {
        steps.iter().try_fold(Map::identity(), |map, step| map.after(step))?.radius(scale)
    }

    /// The rows element `index` of the last axis depends on, by walking every tap.
    fn walk(steps: &[Step], index: i64) -> std::collections::BTreeSet<i64> {
        steps.iter().rev().fold([index].into(), |set: std::collections::BTreeSet<i64>, step| {
            set.iter()
                .flat_map(|&j| {
                    let (q, phase) = (j.div_euclid(step.up), j.rem_euclid(step.up));
                    step.taps[phase as usize].iter().map(move |tap| q * step.down + tap)
                })
                .collect()
        })
    }

    #[test]
    fn convolutions_add_their_radii() {
        let conv = Step::kernel(1, 3, 1, 1);
        assert_eq!(radius(&vec![conv.clone(); 6], 1), Some(6));
        assert_eq!(radius(&[conv.clone(), Step::kernel(1, 3, 4, 4)], 1), Some(5));
        assert_eq!(radius(&[conv.clone(), Step::repeat(2)], 2), Some(1));
        assert_eq!(radius(&[conv, Step::repeat(2)], 1), None);
    }

    #[test]
    fn a_chain_reaches_exactly_as_far_as_its_taps() {
        let down = Step::kernel(2, 3, 1, 1);
        let transposed = Step { up: 2, down: 1, taps: vec![vec![0, -1], vec![0, 1]] };
        let conv = Step::kernel(1, 3, 1, 1);
        for chain in [
            vec![down.clone(), Step::repeat(2)],
            vec![conv.clone(), down.clone(), conv.clone(), transposed.clone(), conv.clone()],
            vec![down.clone(), down.clone(), conv.clone(), transposed.clone(), transposed, conv.clone()],
            vec![Step::window(2, vec![0, 1]), conv.clone(), Step::repeat(2), conv],
        ] {
            let expected = (0..64).map(|j| walk(&chain, j).iter().map(|row| (row - j).abs()).max().unwrap()).max();
            assert_eq!(radius(&chain, 1), expected.map(|r| r as usize), "{chain:?}");
        }
    }

    /// The farthest row from `index` that a chain reaches on `rows` rows when reads beyond an edge are reflected.
    fn walk_reflected(steps: &[Step], rows: i64, index: i64) -> i64 {
        let sizes: Vec<i64> = steps
            .iter()
            .scan(rows, |size, step| {
                let before = *size;
                *size = *size * step.up / step.down;
                Some(before)
            })
            .collect();
        let set = steps.iter().zip(sizes).rev().fold(vec![index], |set, (step, size)| {
            let read = |j: i64| {
                let (q, phase) = (j.div_euclid(step.up), j.rem_euclid(step.up));
                step.taps[phase as usize].iter().map(move |tap| {
                    let at = (q * step.down + tap).abs();
                    if at >= size { 2 * (size - 1) - at } else { at }
                })
            };
            let mut all: Vec<i64> = set.into_iter().flat_map(read).collect();
            all.sort_unstable();
            all.dedup();
            all
        });
        set.iter().map(|row| (row - index).abs()).max().unwrap_or(0)
    }

    #[test]
    fn reflection_at_the_edges_stays_within_the_radius() {
        let (conv, down, up) = (Step::kernel(1, 3, 1, 1), Step::kernel(2, 3, 1, 1), Step::repeat(2));
        let (ahead, behind) = (Step::window(1, vec![0, 1, 2]), Step::window(1, vec![-1, 0]));
        for (chain, slack) in [
            (vec![conv.clone(), conv.clone()], 0),
            (vec![down.clone(), conv.clone(), up.clone(), conv.clone()], 3),
            (vec![down.clone(), down.clone(), conv.clone(), up.clone(), up.clone(), conv.clone()], 8),
            (vec![ahead.clone(), behind.clone()], 1),
            (vec![ahead.clone(), down, behind, up, ahead], 8),
        ] {
            let rows = 32;
            let truth = (0..rows).map(|row| walk_reflected(&chain, rows, row)).max().unwrap();
            let fold = |(map, size): (Map, i64), step: &Step| {
                Some((map.folded(size, rows).after(step)?, size * step.up / step.down))
            };
            let radius = chain.iter().try_fold((Map::identity(), rows), fold).unwrap().0.radius(1).unwrap() as i64;
            assert!((truth..=truth + slack).contains(&radius), "{radius}, true {truth}: {chain:?}");
        }
    }

    #[test]
    fn branches_of_different_strides_join() {
        let low = Map::identity().after(&Step::kernel(4, 4, 1, 0)).unwrap();
        assert_eq!(low.multiple_for(2), 8);
        let back = low.after(&Step::repeat(4)).unwrap();
        let joined = back.join(&Map::identity()).unwrap();
        assert_eq!(joined.radius(1), Some(3));
        assert!(low.join(&Map::identity()).is_none());
    }
}
