// What differs between two planes of one size: a bit and the sum of squared differences for each block of 8 rows.
//
// Grid: the plane in blocks of 32x8 of its own blocks, so that a row of threads makes a word of bits. Integers only.
#include "vproc.cuh"

struct Change {
    const u8 *one, *other;
    long long pitch_one, pitch_other;
    u32 *bits;   // from the lowest, `n_words` for a row of blocks
    u64 *sums;   // one for each block, or null
    int width, height;  // of the planes, in samples
    int bytes;          // of a sample, 1 or 2
    int block_width;    // 8, or 16 where samples are pairs
    int n_words;
    int unused;
};

KERNEL(change, Change) {
    int n_columns = (a.width + a.block_width - 1) / a.block_width, n_rows = (a.height + 7) / 8;
    SHARED u32 differs[BLOCK_HEIGHT][BLOCK_WIDTH];

    EACH_THREAD {
        int column = blockIdx.x * BLOCK_WIDTH + threadIdx.x, row = blockIdx.y * BLOCK_HEIGHT + threadIdx.y;
        u64 sum = 0;
        if (column < n_columns && row < n_rows) {
            int right = least((column + 1) * a.block_width, a.width), bottom = least((row + 1) * 8, a.height);
            for (int y = row * 8; y < bottom; ++y) {
                const u8 *one = a.one + a.pitch_one * y, *other = a.other + a.pitch_other * y;
                for (int x = column * a.block_width; x < right; ++x) {
                    int d = a.bytes == 1 ? one[x] - other[x] : ((const u16 *)one)[x] - ((const u16 *)other)[x];
                    sum += (u64)((long long)d * d);
                }
            }
            if (a.sums) a.sums[(long long)row * n_columns + column] = sum;
        }
        differs[threadIdx.y][threadIdx.x] = sum != 0;
    }
    EACH_THREAD {
        int word = blockIdx.x, row = blockIdx.y * BLOCK_HEIGHT + threadIdx.y;
        if (threadIdx.x == 0 && word < a.n_words && row < n_rows) {
            u32 bits = 0;
            for (int i = 0; i < BLOCK_WIDTH; ++i) bits |= differs[threadIdx.y][i] << i;
            a.bits[(long long)row * a.n_words + word] = bits;
        }
    }
}
