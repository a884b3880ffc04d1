// Planes that pass the network by, resized: chroma of luma networks, alpha, and all of what lies outside of a region.
//
// Grid: the area in blocks of 32x8 samples of the plane, and planes by windows. Source rows are resized horizontally
// once for a block, into shared memory, then vertically. A filter of one tap takes semi-planar chroma apart.
#include "vproc.cuh"

// Source rows that eight rows of output need: at most eight, and a filter's.
#define SOURCE_ROWS 16

struct Resize {
    const Item *items;
    Source source;
    Target target;
    Taps across, down;
    int first_plane, n_planes;
    int log2_x, log2_y;  // luma samples that a sample of these planes covers
};

KERNEL(resize, Resize) {
    const Item &item = a.items[blockIdx.z / a.n_planes];
    int plane = a.first_plane + blockIdx.z % a.n_planes;
    int first_x = item.core_x >> a.log2_x, first_y = item.core_y >> a.log2_y;
    int width = ((item.core_x + item.core_width + (1 << a.log2_x) - 1) >> a.log2_x) - first_x;
    int height = ((item.core_y + item.core_height + (1 << a.log2_y) - 1) >> a.log2_y) - first_y;
    int left = blockIdx.x * BLOCK_WIDTH, top = blockIdx.y * BLOCK_HEIGHT;
    int last_row = least(top + BLOCK_HEIGHT, height) - 1;
    int first_source = (first_y + top) / a.down.n_phases * a.down.stride + a.down.lowest;
    int n_source = (first_y + last_row) / a.down.n_phases * a.down.stride + a.down.highest + 1 - first_source;
    SHARED float rows[SOURCE_ROWS][BLOCK_WIDTH];

    EACH_THREAD {
        int x = first_x + left + threadIdx.x;
        int phase = x % a.across.n_phases;
        int start = x / a.across.n_phases * a.across.stride + a.across.first[phase];
        bool is_there = left + (int)threadIdx.x < width && top < height;
        for (int row = threadIdx.y; is_there && row < n_source; row += BLOCK_HEIGHT) {
            int y = clamped(first_source + row, a.down.src_len);
            float sum = 0.0f;
            for (int k = 0; k < a.across.count[phase]; ++k) {
                int column = clamped(start + k, a.across.src_len);
                float part = a.across.coefs[phase][k] * source_code(item, a.source, plane, column, y);
                sum = k == 0 ? part : sum + part;
            }
            rows[row][threadIdx.x] = sum;
        }
    }
    EACH_THREAD {
        int column = left + threadIdx.x, row = top + threadIdx.y;
        if (column < width && row < height) {
            int x = first_x + column, y = first_y + row;
            int phase = y % a.down.n_phases;
            int at = y / a.down.n_phases * a.down.stride + a.down.first[phase] - first_source;
            float sum = a.down.coefs[phase][0] * rows[at][threadIdx.x];
            for (int k = 1; k < a.down.count[phase]; ++k) {
                sum = sum + a.down.coefs[phase][k] * rows[at + k][threadIdx.x];
            }
            int out_x = x - (item.corner_x >> a.log2_x), out_y = y - (item.corner_y >> a.log2_y);
            u32 code = round_code(sum, a.target.max);
            write_code(item.out[plane], a.target.pitch[plane], a.target.bytes, out_x, out_y, code);
        }
    }
}
