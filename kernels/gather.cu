// Planes to a batch of RGB pictures: chroma brought to the luma grid, matrix, range, layout, in one pass.
//
// Grid: the window in blocks of 32x8 pixels, and the windows. Chroma is resized horizontally once for a block, into
// shared memory, then vertically for each pixel.
#include "vproc.cuh"

// Chroma rows that eight rows of luma need: eight of their own size, or half as many and a filter's.
#define CHROMA_ROWS 12

struct ToRgb {
    float code_black, gain, black, r_cr, g_cb, g_cr, b_cb;
};

struct Gather {
    const Item *items;
    Source source;
    Tensor tensor;
    Taps across, down;
    ToRgb m;
    float neutral;
    int has_chroma;
};

KERNEL(gather, Gather) {
    const Item &item = a.items[blockIdx.z];
    int left = blockIdx.x * BLOCK_WIDTH, top = blockIdx.y * BLOCK_HEIGHT;
    int first_row = least(item.window_y + top, a.source.height - 1);
    int last_row = least(item.window_y + top + BLOCK_HEIGHT - 1, a.source.height - 1);
    int first_chroma = first_row / a.down.n_phases * a.down.stride + a.down.lowest;
    int n_chroma = last_row / a.down.n_phases * a.down.stride + a.down.highest + 1 - first_chroma;
    SHARED float chroma[2][CHROMA_ROWS][BLOCK_WIDTH];

    EACH_THREAD {
        int x = least(item.window_x + left + (int)threadIdx.x, a.source.width - 1);
        int phase = x % a.across.n_phases;
        int start = x / a.across.n_phases * a.across.stride + a.across.first[phase];
        for (int row = threadIdx.y; a.has_chroma && row < n_chroma; row += BLOCK_HEIGHT) {
            int y = clamped(first_chroma + row, a.down.src_len);
            float cb = 0.0f, cr = 0.0f;
            for (int k = 0; k < a.across.count[phase]; ++k) {
                int column = clamped(start + k, a.across.src_len);
                float coef = a.across.coefs[phase][k];
                float of_cb = coef * (source_code(item, a.source, 1, column, y) - a.neutral);
                float of_cr = coef * (source_code(item, a.source, 2, column, y) - a.neutral);
                cb = k == 0 ? of_cb : cb + of_cb;
                cr = k == 0 ? of_cr : cr + of_cr;
            }
            chroma[0][row][threadIdx.x] = cb;
            chroma[1][row][threadIdx.x] = cr;
        }
    }
    EACH_THREAD {
        int window_x = left + threadIdx.x, window_y = top + threadIdx.y;
        if (window_x < a.tensor.width && window_y < a.tensor.height) {
            int x = least(item.window_x + window_x, a.source.width - 1);
            int y = least(item.window_y + window_y, a.source.height - 1);
            float cb = 0.0f, cr = 0.0f;
            if (a.has_chroma) {
                int phase = y % a.down.n_phases;
                int row = y / a.down.n_phases * a.down.stride + a.down.first[phase] - first_chroma;
                for (int k = 0; k < a.down.count[phase]; ++k) {
                    float coef = a.down.coefs[phase][k];
                    float of_cb = coef * chroma[0][row + k][threadIdx.x], of_cr = coef * chroma[1][row + k][threadIdx.x];
                    cb = k == 0 ? of_cb : cb + of_cb;
                    cr = k == 0 ? of_cr : cr + of_cr;
                }
            }
            float luma = (source_code(item, a.source, 0, x, y) - a.m.code_black) * a.m.gain + a.m.black;
            long long at = pixel_at(a.tensor, blockIdx.z, window_x, window_y);
            store(a.tensor, at + a.tensor.channel[0], luma + a.m.r_cr * cr);
            store(a.tensor, at + a.tensor.channel[1], luma + a.m.g_cb * cb + a.m.g_cr * cr);
            store(a.tensor, at + a.tensor.channel[2], luma + a.m.b_cb * cb);
        }
    }
}
