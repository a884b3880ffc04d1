//! Where the rows of a program lie in memory for one picture size.
//!
//! Each node keeps a ring of its last rows, as many as its readers need; how many comes from going through the rows
//! once without computing. A row is a plane per channel with zeros around it, which are a convolution's padding; they
//! are never written. All rings are one piece of memory, small enough to stay in a core's second-level cache.

use super::kernel::LANES;
use super::kernel::pairs::PairWeights;
use super::kernel::{duos, quads};
use super::program::{Channel, Half, Node, Op, Program, Rows};

/// The memory of one node's rows.
#[derive(Clone, Debug)]
pub struct Ring {
    /// Rows of the whole output.
    pub height: usize,
    /// Samples a row.
    pub width: usize,
    /// The first sample of the ring's memory.
    start: usize,
    /// Rows that are kept.
    slots: usize,
    /// Zeros left of a row.
    left: usize,
    /// Samples from one channel to the next.
    stride: usize,
    channels: usize,
    /// The same rows packed, where they are.
    pub packed: Option<PackedRing>,
    /// The same rows in bf16, two channels to an element, where they are.
    pub duos: Option<ElementRing>,
    /// The same rows as codes, four channels to an element, where they are.
    pub codes: Option<ElementRing>,
}

/// Where the channels of a row lie.
#[derive(Clone, Copy, Debug)]
pub struct RowPlace {
    first: usize,
    stride: usize,
}

impl RowPlace {
    /// The first sample of a channel.
    pub fn place(self, channel: usize) -> usize {
        self.first + channel * self.stride
    }
}

/// The memory of one node's packed rows, in elements of f32.
#[derive(Clone, Debug)]
pub struct PackedRing {
    /// From pixel to pixel.
    pub pixel: usize,
    start: usize,
    slots: usize,
    /// Pixels of zeros left of a row.
    left: usize,
    /// From row to row.
    stride: usize,
}

impl PackedRing {
    /// The first pixel of row `y`.
    pub fn place(&self, y: usize) -> usize {
        self.start + y % self.slots * self.stride + self.left * self.pixel
    }
}

/// The memory of one node's rows in elements of several channels: planes, with elements of zeros around them.
#[derive(Clone, Debug)]
pub struct ElementRing {
    /// Zero in all of an element's channels.
    pub zero: f32,
    start: usize,
    slots: usize,
    left: usize,
    stride: usize,
    planes: usize,
}

impl ElementRing {
    /// Row `y`, whose channels are elements.
    pub fn row(&self, y: usize) -> RowPlace {
        RowPlace { first: self.start + y % self.slots * self.planes * self.stride + self.left, stride: self.stride }
    }

    /// As long as a plane, and zero all over: what is beyond the picture.
    pub fn zeros(&self) -> usize {
        self.start + self.slots * self.planes * self.stride
    }

    /// Makes room for a convolution that reads `reach` elements, `before` of them left of a row.
    fn grow(&mut self, before: usize, reach: usize) {
        self.left = self.left.max(before.next_multiple_of(LANES));
        self.stride = self.stride.max(reach - before);
    }

    /// Places it behind `length` samples; how many there are then.
    fn put(&mut self, length: usize) -> usize {
        let lines = (self.left + self.stride).div_ceil(LANES) | 1;
        (self.start, self.stride) = (length, lines * LANES);
        length + self.length()
    }

    /// Elements of memory.
    fn length(&self) -> usize {
        (self.slots * self.planes + 1) * self.stride
    }
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Layout {
    /// For each node.
    pub rings: Vec<Ring>,
    /// A place of as many zeros as any convolution reads of a row.
    pub zeros: usize,
    /// A place where convolutions of two rows keep what they are made of.
    pub scratch: usize,
    /// Samples of memory.
    pub length: usize,
}

impl Ring {
    /// The first sample of a channel of row `y`.
    pub fn place(&self, channel: usize, y: usize) -> usize {
        self.row(y).place(channel)
    }

    /// Row `y`, for the places of many channels at the cost of one division.
    pub fn row(&self, y: usize) -> RowPlace {
        RowPlace { first: self.start + y % self.slots * self.channels * self.stride + self.left, stride: self.stride }
    }

    /// All channels of row `y`, each in a chunk of the second number of samples, and begins at the third in it.
    pub fn region(&self, y: usize) -> (std::ops::Range<usize>, usize, usize) {
        let start = self.start + y % self.slots * self.channels * self.stride;
        (start..start + self.channels * self.stride, self.stride, self.left)
    }
}

impl Layout {
    /// The layout for pictures of `width` x `height`; `None` if some node would have no pixels, or a mirror no picture
    /// to show.
    pub fn new(program: &Program, width: usize, height: usize) -> Option<Layout> {
        let sizes = program.nodes.iter().map(|node| Some((node.extent[1].of(width)?, node.extent[0].of(height)?)));
        let sizes: Vec<(usize, usize)> = sizes.collect::<Option<_>>()?;
        // Enough wherever in a picture the window begins.
        let [even, odd] = [0, 1].map(|top| slots(program, &sizes, top));
        let slots = even.into_iter().zip(odd).map(|(even, odd)| even.max(odd));
        let mut rings: Vec<Ring> = Vec::with_capacity(sizes.len());
        for ((node, (width, height)), slots) in program.nodes.iter().zip(&sizes).zip(slots) {
            let stride = width.next_multiple_of(LANES);
            let packed = node.form.packed.map(|channels| PackedRing {
                pixel: channels / 2,
                start: 0,
                slots,
                left: 0,
                stride: width.next_multiple_of(LANES),
            });
            let elements = |zero, planes: usize| ElementRing { zero, start: 0, slots, left: 0, stride, planes };
            let duos = node.form.duos.then(|| elements(0.0, node.channels.div_ceil(duos::DEPTH)));
            let of_codes = |zero| f32::from_bits(u32::from_le_bytes([zero; quads::DEPTH]));
            let codes = node.form.codes.map(|zero| elements(of_codes(zero), node.channels.div_ceil(quads::DEPTH)));
            let channels = if node.form.planes { node.channels } else { 0 };
            rings.push(Ring {
                height: *height,
                width: *width,
                start: 0,
                slots,
                left: 0,
                stride,
                channels,
                packed,
                duos,
                codes,
            });
        }
        let (mut widest, mut scratch) = (LANES, 0);
        for (at, node) in program.nodes.iter().enumerate() {
            if let Op::Quads(conv) = &node.op {
                let reach = rings[at].width.next_multiple_of(LANES) + (conv.kernel[1] - 1) * conv.dilation[1];
                for channel in &node.inputs {
                    let Some(codes) = &mut rings[channel.node].codes else { continue };
                    codes.grow(conv.before[1], reach);
                }
            }
            let Op::Conv(conv) = &node.op else { continue };
            let reach = rings[at].width.next_multiple_of(LANES) + (conv.kernel[1] - 1) * conv.dilation[1];
            if let Some(Half::Duos(weights)) = &conv.half {
                // Of two rows whole registers are read.
                let reach = if weights.is_paired() { reach.next_multiple_of(LANES) } else { reach };
                scratch = scratch.max(weights.scratch());
                for channel in &node.inputs {
                    let Some(duos) = &mut rings[channel.node].duos else { continue };
                    duos.grow(conv.before[1], reach);
                }
                continue;
            }
            if conv.half.is_some()
                && let Some(packed) = &mut rings[node.inputs[0].node].packed
            {
                packed.left = packed.left.max(conv.before[1]);
                // A tile of 16 channels goes on into the next pixel.
                packed.stride = packed.stride.max(reach + 1 - conv.before[1]);
                widest = widest.max((reach + 1) * packed.pixel);
                continue;
            }
            widest = widest.max(reach);
            if conv.is_paired() {
                // Whole registers are read.
                widest = widest.max(rings[at].width.next_multiple_of(LANES) + LANES);
                let n_inputs = conv.groups.iter().map(|group| group.weights.n_inputs()).max();
                scratch = scratch.max(PairWeights::scratch(n_inputs.unwrap_or(0)));
            }
            for channel in &node.inputs {
                let ring = &mut rings[channel.node];
                ring.left = ring.left.max(conv.before[1].next_multiple_of(LANES));
                ring.stride = ring.stride.max(reach - conv.before[1]);
            }
        }
        let mut length = 0;
        for ring in &mut rings {
            // An odd number of cache lines, so that channels do not all fall into the same few sets of the cache.
            let lines = (ring.left + ring.stride).div_ceil(LANES) | 1;
            (ring.start, ring.stride) = (length, lines * LANES);
            length += ring.slots * ring.channels * ring.stride;
            if let Some(packed) = &mut ring.packed {
                let lines = ((packed.left + packed.stride) * packed.pixel).div_ceil(LANES);
                (packed.start, packed.stride) = (length, lines * LANES);
                length += packed.slots * packed.stride;
            }
            for elements in [&mut ring.duos, &mut ring.codes].into_iter().flatten() {
                length = elements.put(length);
            }
        }
        // The zeros are last: what is read beyond a row is in memory.
        Some(Layout { rings, scratch: length, zeros: length + scratch, length: length + scratch + widest })
    }

    /// Writes codes of zero around rows of codes, in memory that is all zeros.
    pub fn prepare(&self, memory: &mut [f32]) {
        for codes in self.rings.iter().filter_map(|ring| ring.codes.as_ref()) {
            memory[codes.start..codes.start + codes.length()].fill(codes.zero);
        }
    }

    /// The first sample of row `y` of a channel.
    pub fn place(&self, channel: Channel, y: usize) -> usize {
        self.rings[channel.node].place(channel.index, y)
    }
}

/// What a node reads: another node, and whether as the convolution's residual, of the same row.
pub struct Reading {
    /// Whom.
    pub node: usize,
    /// The row itself is read, whatever the operator.
    pub same_row: bool,
}

impl Reading {
    /// The rows of the node read, of `height` rows, that rows `first` to `last` of the reader, whose operator is `op`,
    /// are made of.
    pub fn rows(&self, op: &Op, (first, last): (usize, usize), height: usize) -> Rows {
        if self.same_row {
            return Some((first, last));
        }
        match (op.reads(first, height), op.reads(last, height)) {
            (Some((first, _)), Some((_, last))) => Some((first, last)),
            (one, None) | (None, one) => one,
        }
    }
}

/// The nodes that a node reads, each once a way.
pub fn readings(node: &Node) -> Vec<Reading> {
    let mut all: Vec<Reading> = Vec::new();
    for (channels, same_row) in [(node.inputs.as_slice(), false), (node.residual(), true)] {
        for channel in channels {
            if !all.iter().any(|reading| reading.node == channel.node && reading.same_row == same_row) {
                all.push(Reading { node: channel.node, same_row });
            }
        }
    }
    all
}

/// How many rows each node must keep, found by taking the output's rows one by one.
fn slots(program: &Program, sizes: &[(usize, usize)], top: usize) -> Vec<usize> {
    let mut walk = Walk {
        program,
        sizes,
        top,
        readings: program.nodes.iter().map(readings).collect(),
        next: vec![0; sizes.len()],
        slots: vec![1; sizes.len()],
    };
    let output = program.output[0].node;
    for y in 0..sizes[output].1 {
        program.output.iter().for_each(|channel| walk.pull(channel.node, y));
        program.output.iter().for_each(|channel| walk.keep(channel.node, y));
    }
    walk.slots
}

struct Walk<'a> {
    program: &'a Program,
    sizes: &'a [(usize, usize)],
    top: usize,
    readings: Vec<Vec<Reading>>,
    next: Vec<usize>,
    slots: Vec<usize>,
}

impl Walk<'_> {
    /// Goes on to row `y` of a node, as `run` does.
    fn pull(&mut self, node: usize, y: usize) {
        while self.next[node] <= y {
            let row = self.next[node];
            let last = self.program.nodes[node].last_of(row, self.sizes[node].1, self.top);
            let needed: Vec<(usize, usize, usize)> = self.readings[node]
                .iter()
                .filter_map(|reading| {
                    let (op, height) = (&self.program.nodes[node].op, self.sizes[reading.node].1);
                    let (first, last) = reading.rows(op, (row, last), height)?;
                    Some((reading.node, first, last))
                })
                .collect();
            for (from, _, last) in &needed {
                self.pull(*from, *last);
            }
            for (from, first, _) in &needed {
                self.keep(*from, *first);
            }
            self.next[node] = last + 1;
            self.keep(node, row);
        }
    }

    /// Row `y` must still be there.
    fn keep(&mut self, node: usize, y: usize) {
        self.slots[node] = self.slots[node].max(self.next[node] - y);
    }
}
