//! Going through a picture: the output's rows are asked for one by one, and each node computes its next row when a
//! reader first needs it.

use super::kernel::bf16::Bf16;
use super::kernel::duos::{self, DuoRows, DuoWeights};
use super::kernel::pairs::{self, PairRows};
use super::kernel::quads::{self, QuadKernel, QuadRow};
use super::kernel::tiles::{self, Target, TileRow, TileWeights, Tiles};
use super::kernel::{self, ConvRow, Kernel, LANES};
use super::layout::{Layout, Reading};
use super::program::{Channel, Conv, Function, Half, Op, Program, QuadConv, neighbours};
use super::rowwise;
use crate::infer::RowPort;
use crate::simd::cpu::Avx512Bf16;

/// One picture on its way.
pub struct Run<'a, 'b> {
    /// What is computed.
    pub program: &'a Program,
    /// Who reads whom.
    pub readings: &'a [Vec<Reading>],
    /// Where the rows lie.
    pub layout: &'a Layout,
    /// The rows.
    pub memory: &'a mut [f32],
    /// For each node, the row it computes next.
    pub next: &'a mut [usize],
    /// Working memory for places.
    pub places: &'a mut Vec<usize>,
    /// What convolutions are computed with.
    pub kernel: Kernel,
    /// What those of codes are computed with.
    pub quads: QuadKernel,
    /// What those on packed rows are computed with.
    pub bf16: Option<Bf16>,
    /// The row at which the picture begins in what it is a window of.
    pub top: usize,
    /// Where the picture comes from, and where the output goes.
    pub port: &'b mut dyn RowPort,
}

impl Run<'_, '_> {
    /// Computes all rows, until `stopped` says so; whether it came to the end.
    pub fn all(&mut self, stopped: &dyn Fn() -> bool) -> bool {
        self.next.fill(0);
        let output = &self.program.output;
        let ring = &self.layout.rings[output[0].node];
        for y in 0..ring.height {
            if stopped() {
                return false;
            }
            for channel in output {
                self.pull(channel.node, y);
            }
            let row = |place: usize| &self.memory[place..place + ring.width];
            match output.as_slice() {
                [one] => self.port.write(y, &[row(self.layout.place(*one, y))]),
                [a, b, c] => self.port.write(y, &[a, b, c].map(|channel| row(self.layout.place(*channel, y)))),
                _ => self
                    .port
                    .write(y, &output.iter().map(|channel| row(self.layout.place(*channel, y))).collect::<Vec<_>>()),
            }
        }
        true
    }

    /// Computes the rows of a node up to row `y`.
    fn pull(&mut self, node: usize, y: usize) {
        while self.next[node] <= y {
            let row = self.next[node];
            let (op, height) = (&self.program.nodes[node].op, self.layout.rings[node].height);
            let last = self.program.nodes[node].last_of(row, height, self.top);
            for reading in &self.readings[node] {
                let height = self.layout.rings[reading.node].height;
                if let Some((_, last)) = reading.rows(op, (row, last), height) {
                    self.pull(reading.node, last);
                }
            }
            self.compute(node, row, last);
            self.next[node] = last + 1;
        }
    }

    /// Computes row `y` of a node, and those to row `last` that are computed with it.
    fn compute(&mut self, at: usize, y: usize, last: usize) {
        let (node, ring) = (&self.program.nodes[at], &self.layout.rings[at]);
        match &node.op {
            Op::Input => {
                let (region, stride, left) = ring.region(y);
                let channels = self.memory[region].chunks_exact_mut(stride);
                let mut rows: Vec<&mut [f32]> = channels.map(|plane| &mut plane[left..left + ring.width]).collect();
                self.port.read(y, &mut rows);
            }
            Op::Conv(conv) => match (&conv.half, self.bf16) {
                (Some(Half::Tiles(weights)), Some(Bf16::Tiles(proof))) => {
                    self.conv_by_tiles(at, conv, weights, proof, y);
                }
                (Some(Half::Duos(weights)), Some(Bf16::Dots(proof))) => {
                    self.conv_of_duos(at, conv, weights, proof, (y, last));
                }
                _ if conv.is_paired() => self.conv_pair(at, conv, y, last),
                _ => self.conv(at, conv, y),
            },
            Op::Quads(conv) => self.conv_of_codes(at, conv, y),
            _ => rowwise::row(self.program, self.layout, self.memory, at, y),
        }
        if let (Op::Function(Function::Quantize { low, .. }), Some(codes)) = (&node.op, &ring.codes) {
            let (row, to) = (ring.row(y), codes.row(y));
            let channels: Vec<usize> = (0..node.channels).map(|channel| row.place(channel)).collect();
            let quads: Vec<usize> = (0..node.channels.div_ceil(quads::DEPTH)).map(|quad| to.place(quad)).collect();
            quads::pack_row(self.memory, &channels, &quads, *low, ring.width);
        }
        if node.form.planes {
            (y..=last).for_each(|y| self.pack(at, y));
        }
    }

    /// Packs a row of planes for those that read it in bf16. What is computed in elements of two channels has done so.
    fn pack(&mut self, at: usize, y: usize) {
        let (node, ring) = (&self.program.nodes[at], &self.layout.rings[at]);
        let row = ring.row(y);
        self.places.clear();
        self.places.extend((0..node.channels).map(|channel| row.place(channel)));
        match (&node.op, self.bf16) {
            (_, Some(Bf16::Tiles(proof))) => {
                let Some(packed) = &ring.packed else { return };
                tiles::pack_row(proof, self.memory, self.places, packed.place(y), packed.pixel, ring.width);
            }
            (Op::Conv(conv), _) if conv.half.is_some() => {}
            (_, Some(Bf16::Dots(proof))) => {
                let Some(row) = ring.duos.as_ref().map(|duos| duos.row(y)) else { return };
                self.places.extend((0..node.channels.div_ceil(duos::DEPTH)).map(|duo| row.place(duo)));
                let (channels, duos) = self.places.split_at(node.channels);
                duos::pack_row(proof, self.memory, channels, duos, ring.width);
                clear_beyond(self.memory, duos, ring.width, 0.0);
            }
            _ => {}
        }
    }

    fn conv_by_tiles(&mut self, at: usize, conv: &Conv, weights: &TileWeights, proof: Tiles, y: usize) {
        let (node, ring) = (&self.program.nodes[at], &self.layout.rings[at]);
        let input = &self.layout.rings[node.inputs[0].node];
        let packed = input.packed.as_ref().expect("what a convolution on tiles reads is packed");
        self.places.clear();
        self.places.extend(weights.steps().iter().map(|step| {
            match (y + step.ky * conv.dilation[0]).checked_sub(conv.before[0]) {
                Some(y) if y < input.height => {
                    let column = packed.place(y) + step.kx * conv.dilation[1] * packed.pixel;
                    column - conv.before[1] * packed.pixel + step.first / 2
                }
                _ => self.layout.zeros,
            }
        }));
        let n_steps = self.places.len();
        if node.form.planes {
            let row = ring.row(y);
            self.places.extend((0..node.channels).map(|index| row.place(index)));
        }
        let n_rows = self.places.len();
        self.places.extend(conv.residual.iter().map(|channel| self.layout.place(*channel, y)));
        let (inputs, rest) = self.places.split_at(n_steps);
        let (outputs, residual) = rest.split_at(n_rows - n_steps);
        let target = match &ring.packed {
            Some(packed) if !node.form.planes => Target::Packed { place: packed.place(y), pixel: packed.pixel },
            _ => Target::Planar(outputs),
        };
        let row =
            TileRow { inputs, pixel: packed.pixel, target, residual, activation: &conv.activation, width: ring.width };
        tiles::conv_row(proof, self.memory, weights, &row);
        clear_beyond(self.memory, outputs, ring.width, 0.0);
    }

    fn conv(&mut self, at: usize, conv: &Conv, y: usize) {
        let (node, ring) = (&self.program.nodes[at], &self.layout.rings[at]);
        let mut first_channel = 0;
        for group in &conv.groups {
            let n_outputs = group.weights.n_outputs();
            let inputs = &node.inputs[group.first_input..group.first_input + group.weights.n_inputs()];
            self.places.clear();
            for ky in 0..conv.kernel[0] {
                let from = (y + ky * conv.dilation[0]).checked_sub(conv.before[0]);
                places_of(self.layout, inputs, from, conv.before[1], self.places);
            }
            let n_inputs = self.places.len();
            let to = ring.row(y);
            self.places.extend((first_channel..first_channel + n_outputs).map(|index| to.place(index)));
            let residual = conv.residual.iter().skip(first_channel).take(n_outputs);
            self.places.extend(residual.map(|channel| self.layout.place(*channel, y)));
            let (inputs, rest) = self.places.split_at(n_inputs);
            let (outputs, residual) = rest.split_at(n_outputs);
            let row = ConvRow {
                inputs,
                dilation: conv.dilation[1],
                outputs,
                residual,
                activation: &conv.activation,
                first_channel,
                width: ring.width,
            };
            kernel::conv_row(self.kernel, self.memory, &group.weights, &row);
            clear_beyond(self.memory, outputs, ring.width, 0.0);
            first_channel += n_outputs;
        }
    }

    fn conv_of_codes(&mut self, at: usize, conv: &QuadConv, y: usize) {
        let (node, ring) = (&self.program.nodes[at], &self.layout.rings[at]);
        self.places.clear();
        for ky in 0..conv.kernel[0] {
            let from = (y + ky * conv.dilation[0]).checked_sub(conv.before[0]);
            elements_of(self.layout, &node.inputs, quads::DEPTH, from, conv.before[1], self.places);
        }
        let n_inputs = self.places.len();
        if let Some(codes) = &ring.codes {
            let to = codes.row(y);
            self.places.extend((0..node.channels.div_ceil(quads::DEPTH)).map(|quad| to.place(quad)));
        }
        let n_codes = self.places.len();
        if node.form.planes {
            let to = ring.row(y);
            self.places.extend((0..node.channels).map(|index| to.place(index)));
        }
        let n_rows = self.places.len();
        for run in neighbours(&conv.residual) {
            let codes = self.layout.rings[run[0].node].codes.as_ref().expect("what is added is kept as codes");
            let row = codes.row(y);
            self.places.extend(
                (run[0].index / quads::DEPTH..=run[run.len() - 1].index / quads::DEPTH).map(|quad| row.place(quad)),
            );
        }
        let (inputs, rest) = self.places.split_at(n_inputs);
        let (codes, rest) = rest.split_at(n_codes - n_inputs);
        let (planes, residual) = rest.split_at(n_rows - n_codes);
        let (dilation, offset, width) = (conv.dilation[1], conv.coding.low, ring.width);
        let row = QuadRow { inputs, dilation, quads: codes, planes, residual, offset, width };
        quads::conv_row(self.quads, self.memory, &conv.weights, &row);
        clear_beyond(self.memory, planes, width, 0.0);
        if let Some(ring) = &ring.codes {
            clear_beyond(self.memory, codes, width, ring.zero);
        }
    }

    /// Row `first`, or, where two rows are computed at once, `first` to `last`.
    fn conv_of_duos(
        &mut self,
        at: usize,
        conv: &Conv,
        weights: &DuoWeights,
        proof: Avx512Bf16,
        (first, last): (usize, usize),
    ) {
        let (node, ring) = (&self.program.nodes[at], &self.layout.rings[at]);
        let (rows, above) = match weights.is_paired() {
            true => self.two_rows(at, first, last),
            false => ([Some(first), None], 0),
        };
        self.places.clear();
        for ky in 0..weights.n_rows() {
            let from = (first + ky * conv.dilation[0]).checked_sub(conv.before[0] + above);
            elements_of(self.layout, &node.inputs, duos::DEPTH, from, conv.before[1], self.places);
        }
        // Of each row that is computed, where its elements and its planes begin, and what is added to them.
        let mut ends = [[0; 4]; 2];
        for (y, ends) in rows.into_iter().zip(&mut ends) {
            ends[0] = self.places.len();
            if let (Some(y), Some(duos)) = (y, &ring.duos) {
                let to = duos.row(y);
                self.places.extend((0..node.channels.div_ceil(duos::DEPTH)).map(|duo| to.place(duo)));
            }
            ends[1] = self.places.len();
            if let Some(to) = y.filter(|_| node.form.planes).map(|y| ring.row(y)) {
                self.places.extend((0..node.channels).map(|index| to.place(index)));
            }
            ends[2] = self.places.len();
            let residual = conv.residual.iter().filter_map(|channel| Some(self.layout.place(*channel, y?)));
            self.places.extend(residual);
            ends[3] = self.places.len();
        }
        let places = &self.places;
        let targets = ends.map(|[begin, planes, residual, end]| duos::Target {
            duos: &places[begin..planes],
            planes: &places[planes..residual],
            residual: &places[residual..end],
        });
        let rows = DuoRows {
            inputs: &places[..ends[0][0]],
            dilation: conv.dilation[1],
            targets,
            activation: &conv.activation,
            width: ring.width,
            scratch: self.layout.scratch,
        };
        duos::conv_rows(proof, self.memory, weights, &rows);
        for [begin, _, end, _] in ends {
            clear_beyond(self.memory, &self.places[begin..end], ring.width, 0.0);
        }
    }

    /// Which of an upper row and the lower one below it rows `y` to `last` are, and how many rows above `y` begins what is
    /// read for both.
    fn two_rows(&self, at: usize, y: usize, last: usize) -> ([Option<usize>; 2], usize) {
        // A lower row without its upper one begins a picture.
        match (y + self.top * self.program.nodes[at].extent[0].up).is_multiple_of(2) {
            true => ([Some(y), Some(last).filter(|last| *last > y)], 0),
            false => ([None, Some(y)], 1),
        }
    }

    /// Rows `y` to `last`: an upper one and the lower one below it, or one of them alone.
    fn conv_pair(&mut self, at: usize, conv: &Conv, y: usize, last: usize) {
        let (node, ring) = (&self.program.nodes[at], &self.layout.rings[at]);
        let (rows, above) = self.two_rows(at, y, last);
        let mut first_channel = 0;
        for group in &conv.groups {
            let Some(weights) = &group.pairs else { continue };
            let n_outputs = group.weights.n_outputs();
            let inputs = &node.inputs[group.first_input..group.first_input + group.weights.n_inputs()];
            self.places.clear();
            for ky in 0..pairs::ROWS {
                let from = (y + ky).checked_sub(conv.before[0] + above);
                places_of(self.layout, inputs, from, conv.before[1], self.places);
            }
            let mut ends = [self.places.len(); 5];
            for (at, y) in rows.into_iter().enumerate() {
                if let Some(to) = y.map(|y| ring.row(y)) {
                    self.places.extend((first_channel..first_channel + n_outputs).map(|index| to.place(index)));
                }
                ends[at + 1] = self.places.len();
            }
            for (at, y) in rows.into_iter().enumerate() {
                if let Some(y) = y {
                    let residual = conv.residual.iter().skip(first_channel).take(n_outputs);
                    self.places.extend(residual.map(|channel| self.layout.place(*channel, y)));
                }
                ends[at + 3] = self.places.len();
            }
            let part = |at: usize| &self.places[ends[at]..ends[at + 1]];
            let pair = PairRows {
                inputs: &self.places[..ends[0]],
                outputs: [part(0), part(1)],
                residual: [part(2), part(3)],
                activation: &conv.activation,
                first_channel,
                width: ring.width,
                scratch: self.layout.scratch,
            };
            pairs::conv_rows(self.kernel, self.memory, weights, &pair);
            clear_beyond(self.memory, &self.places[ends[0]..ends[2]], ring.width, 0.0);
            first_channel += n_outputs;
        }
    }
}

/// Adds where the inputs' rows `y` begin, `before` samples to the left of the picture; zeros where there is no such row.
fn places_of(layout: &Layout, inputs: &[Channel], y: Option<usize>, before: usize, places: &mut Vec<usize>) {
    // Neighbours mostly are channels of one node.
    for channels in inputs.chunk_by(|a, b| a.node == b.node) {
        let ring = &layout.rings[channels[0].node];
        match y.filter(|y| *y < ring.height).map(|y| ring.row(y)) {
            Some(row) => places.extend(channels.iter().map(|channel| row.place(channel.index) - before)),
            None => places.extend(channels.iter().map(|_| layout.zeros)),
        }
    }
}

/// Adds where the inputs' rows `y` begin as elements of `depth` channels, two in bf16 or four as codes, as [`places_of`].
fn elements_of(
    layout: &Layout,
    inputs: &[Channel],
    depth: usize,
    y: Option<usize>,
    before: usize,
    places: &mut Vec<usize>,
) {
    for run in neighbours(inputs) {
        let ring = &layout.rings[run[0].node];
        let elements = if depth == duos::DEPTH { &ring.duos } else { &ring.codes };
        let elements = elements.as_ref().expect("what is read in elements is kept so");
        let all = run[0].index / depth..=run[run.len() - 1].index / depth;
        match y.filter(|y| *y < ring.height).map(|y| elements.row(y)) {
            Some(row) => places.extend(all.map(|element| row.place(element) - before)),
            None => places.extend(all.map(|_| elements.zeros())),
        }
    }
}

/// Clears what was written beyond rows: it is the next convolution's padding.
fn clear_beyond(memory: &mut [f32], rows: &[usize], width: usize, zero: f32) {
    if !width.is_multiple_of(LANES) {
        for place in rows {
            memory[place + width..place + width.next_multiple_of(LANES)].fill(zero);
        }
    }
}
