//! Going through a picture: the output's rows are asked for one by one, and each node computes its next row when a
//! reader first needs it.

use super::kernel::pairs::{self, PairRows};
use super::kernel::quads::{self, DEPTH, QuadKernel, QuadRow};
use super::kernel::tiles::{self, Bf16, Target, TileRow, TileWeights};
use super::kernel::{self, ConvRow, Kernel, LANES};
use super::layout::{Layout, Reading};
use super::program::{Channel, Conv, Function, Op, Program, QuadConv, neighbours};
use super::rowwise;
use crate::infer::RowPort;

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
            Op::Conv(conv) => match (&conv.tiles, self.bf16) {
                (Some(weights), Some(bf16)) => self.conv_by_tiles(at, conv, weights, bf16, y),
                _ if conv.is_paired() => self.conv_pair(at, conv, y, last),
                _ => self.conv(at, conv, y),
            },
            Op::Quads(conv) => self.conv_of_codes(at, conv, y),
            _ => rowwise::row(self.program, self.layout, self.memory, at, y),
        }
        if let (Op::Function(Function::Quantize { low, .. }), Some(codes)) = (&node.op, &ring.codes) {
            let (row, to) = (ring.row(y), codes.row(y));
            let channels: Vec<usize> = (0..node.channels).map(|channel| row.place(channel)).collect();
            let quads: Vec<usize> = (0..node.channels.div_ceil(DEPTH)).map(|quad| to.place(quad)).collect();
            quads::pack_row(self.memory, &channels, &quads, *low, ring.width);
        }
        if let (true, Some(packed), Some(bf16)) = (node.form.planes, &ring.packed, self.bf16) {
            for y in y..=last {
                self.places.clear();
                let row = ring.row(y);
                self.places.extend((0..node.channels).map(|channel| row.place(channel)));
                tiles::pack_row(bf16, self.memory, self.places, packed.place(y), packed.pixel, ring.width);
            }
        }
    }

    fn conv_by_tiles(&mut self, at: usize, conv: &Conv, weights: &TileWeights, bf16: Bf16, y: usize) {
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
        tiles::conv_row(bf16, self.memory, weights, &row);
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
            for run in neighbours(&node.inputs) {
                let input = &self.layout.rings[run[0].node];
                let codes = input.codes.as_ref().expect("what a convolution of codes reads is kept as codes");
                let quads = run[0].index / DEPTH..=run[run.len() - 1].index / DEPTH;
                match from.filter(|y| *y < input.height).map(|y| codes.row(y)) {
                    Some(row) => self.places.extend(quads.map(|quad| row.place(quad) - conv.before[1])),
                    None => self.places.extend(quads.map(|_| codes.zeros())),
                }
            }
        }
        let n_inputs = self.places.len();
        if let Some(codes) = &ring.codes {
            let to = codes.row(y);
            self.places.extend((0..node.channels.div_ceil(DEPTH)).map(|quad| to.place(quad)));
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
            self.places.extend((run[0].index / DEPTH..=run[run.len() - 1].index / DEPTH).map(|quad| row.place(quad)));
        }
        let (inputs, rest) = self.places.split_at(n_inputs);
        let (codes, rest) = rest.split_at(n_codes - n_inputs);
        let (planes, residual) = rest.split_at(n_rows - n_codes);
        let (dilation, offset, width) = (conv.dilation[1], conv.coding.low, ring.width);
        let row = QuadRow { inputs, dilation, quads: codes, planes, residual, offset, width };
        quads::conv_row(self.quads, self.memory, &conv.weights, &row);
        clear_beyond(self.memory, planes, width, 0.0);
        if let Some(ring) = &ring.codes {
            clear_beyond(self.memory, codes, width, ring.zero_element());
        }
    }

    /// Rows `y` to `last`: an upper one and the lower one below it, or one of them alone.
    fn conv_pair(&mut self, at: usize, conv: &Conv, y: usize, last: usize) {
        let (node, ring) = (&self.program.nodes[at], &self.layout.rings[at]);
        // A lower row without its upper one begins a picture.
        let is_lower = !(y + self.top * node.extent[0].up).is_multiple_of(2);
        let rows = if is_lower { [None, Some(y)] } else { [Some(y), Some(last).filter(|last| *last > y)] };
        let mut first_channel = 0;
        for group in &conv.groups {
            let Some(weights) = &group.pairs else { continue };
            let n_outputs = group.weights.n_outputs();
            let inputs = &node.inputs[group.first_input..group.first_input + group.weights.n_inputs()];
            self.places.clear();
            for ky in 0..pairs::ROWS {
                let from = (y + ky).checked_sub(conv.before[0] + usize::from(is_lower));
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

/// Clears what was written beyond rows: it is the next convolution's padding.
fn clear_beyond(memory: &mut [f32], rows: &[usize], width: usize, zero: f32) {
    if !width.is_multiple_of(LANES) {
        for place in rows {
            memory[place + width..place + width.next_multiple_of(LANES)].fill(zero);
        }
    }
}
