// A batch of RGB pictures back to the planes of their cores: matrix, range, chroma brought to its grid, rounding.
//
// Grid: the largest core in tiles of 32x16 luma samples, and the windows. A block makes luma and full-size chroma of
// its tile and of what the chroma filter reaches beyond it, then takes the chroma together along rows and columns. Where
// the size is kept only what the network changed is written back, added to the codes of the input.
#include "vproc.cuh"

#define TILE_WIDTH 32
#define TILE_HEIGHT 16
// With what the longest filter (16 taps for every fourth sample) reaches beyond a tile.
#define REACH_WIDTH 44
#define REACH_HEIGHT 28

struct FromRgb {
    float weights[3];
    float luma_gain, cb_gain, cr_gain, luma_base;
};

struct Scatter {
    const Item *items;
    Source source;
    Target target;
    Tensor before, after;  // what the network was given, and what it made
    Taps across, down;
    FromRgb m;
    Linear line;  // from the values of `before` to those of `after`
    float neutral;
    int scale;  // output pixels per input pixel
    int has_chroma, change_only, has_line;
};

DEVICE float changed(const Scatter &a, int channel, long long after, long long before) {
    float value = load(a.after, after + a.after.channel[channel]);
    if (!a.change_only) return value;
    float was = load(a.before, before + a.before.channel[channel]);
    return value - (a.has_line ? linear(a.line, was) : was);
}

KERNEL(scatter, Scatter) {
    const Item &item = a.items[blockIdx.z];
    const Target &target = a.target;
    int left = item.core_x + blockIdx.x * TILE_WIDTH, top = item.core_y + blockIdx.y * TILE_HEIGHT;
    int right = least(left + TILE_WIDTH, item.core_x + item.core_width);
    int bottom = least(top + TILE_HEIGHT, item.core_y + item.core_height);
    int first_column = left >> target.log2_x, first_row = top >> target.log2_y;
    int n_columns = ((right + (1 << target.log2_x) - 1) >> target.log2_x) - first_column;
    int n_rows = ((bottom + (1 << target.log2_y) - 1) >> target.log2_y) - first_row;
    // The pixels that the tile's chroma is made of; places beyond the picture repeat its edge.
    int from_x = left, from_y = top, width = right - left, height = bottom - top;
    if (a.has_chroma) {
        from_x = first_column * a.across.stride + a.across.first[0];
        from_y = first_row * a.down.stride + a.down.first[0];
        width = (n_columns - 1) * a.across.stride + a.across.count[0];
        height = (n_rows - 1) * a.down.stride + a.down.count[0];
    }
    // Cores that are smaller than the largest have no such tile.
    bool is_there = left < right && top < bottom;
    SHARED float full[2][REACH_HEIGHT][REACH_WIDTH];
    SHARED float narrow[2][REACH_HEIGHT][TILE_WIDTH];

    EACH_THREAD {
        for (int i = threadIdx.y * BLOCK_WIDTH + threadIdx.x; is_there && i < width * height; i += BLOCK_THREADS) {
            int row = i / width, column = i - row * width;
            int x = clamped(from_x + column, target.width), y = clamped(from_y + row, target.height);
            int after_x = x - item.window_x * a.scale, after_y = y - item.window_y * a.scale;
            long long after = pixel_at(a.after, blockIdx.z, after_x, after_y);
            long long before = a.change_only ? pixel_at(a.before, blockIdx.z, after_x, after_y) : 0;
            float r = changed(a, 0, after, before), g = changed(a, 1, after, before), b = changed(a, 2, after, before);
            float luma = a.m.weights[0] * r + a.m.weights[1] * g + a.m.weights[2] * b;
            if (a.has_chroma) {
                full[0][row][column] = (b - luma) * a.m.cb_gain;
                full[1][row][column] = (r - luma) * a.m.cr_gain;
            }
            int out_x = from_x + column, out_y = from_y + row;
            if (out_x >= left && out_x < right && out_y >= top && out_y < bottom) {
                float base = a.change_only ? source_code(item, a.source, 0, out_x, out_y) : a.m.luma_base;
                u32 code = round_code(base + luma * a.m.luma_gain, target.max);
                write_code(item.out[0], target.pitch[0], target.bytes, out_x - item.corner_x, out_y - item.corner_y, code);
            }
        }
    }
    EACH_THREAD {
        int column = threadIdx.x;
        for (int row = threadIdx.y; a.has_chroma && is_there && column < n_columns && row < height; row += BLOCK_HEIGHT) {
            int at = column * a.across.stride;
            float cb = a.across.coefs[0][0] * full[0][row][at], cr = a.across.coefs[0][0] * full[1][row][at];
            for (int k = 1; k < a.across.count[0]; ++k) {
                cb = cb + a.across.coefs[0][k] * full[0][row][at + k];
                cr = cr + a.across.coefs[0][k] * full[1][row][at + k];
            }
            narrow[0][row][column] = cb;
            narrow[1][row][column] = cr;
        }
    }
    EACH_THREAD {
        int column = threadIdx.x;
        for (int row = threadIdx.y; a.has_chroma && is_there && column < n_columns && row < n_rows; row += BLOCK_HEIGHT) {
            int x = first_column + column, y = first_row + row;
            int out_x = x - (item.corner_x >> target.log2_x), out_y = y - (item.corner_y >> target.log2_y);
            for (int plane = 1; plane <= 2; ++plane) {
                int at = row * a.down.stride;
                float sum = a.down.coefs[0][0] * narrow[plane - 1][at][column];
                for (int k = 1; k < a.down.count[0]; ++k) {
                    sum = sum + a.down.coefs[0][k] * narrow[plane - 1][at + k][column];
                }
                float base = a.change_only ? source_code(item, a.source, plane, x, y) : a.neutral;
                u32 code = round_code(sum + base, target.max);
                write_code(item.out[plane], target.pitch[plane], target.bytes, out_x, out_y, code);
            }
        }
    }
}
