// What all kernels share: how pictures, tensors and filters are described, and how samples are read and rounded.
//
// A kernel is a row of phases; `EACH_THREAD` begins one, and on a GPU waits until the whole block has ended the phase
// before. Compiled as C++ with VPROC_HOST a phase is a loop over the threads of a block, and a kernel a loop over the
// blocks of a grid, so that its results can be held against the code that runs on the CPU. They are the same bits:
// all arithmetic is in f32, each operation rounded by itself (--fmad=false), every sum in the order of its taps.
// Sizes and places are in samples, pitches in bytes.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// Threads of a block.
#define BLOCK_WIDTH 32
#define BLOCK_HEIGHT 8
#define BLOCK_THREADS (BLOCK_WIDTH * BLOCK_HEIGHT)

#ifdef VPROC_HOST
struct Index {
    u32 x, y, z;
};
static thread_local Index blockIdx, threadIdx;
#define DEVICE static inline
#define SHARED static thread_local
#define EACH_THREAD                                                                \
    for (threadIdx.y = 0; threadIdx.y < BLOCK_HEIGHT; ++threadIdx.y)               \
        for (threadIdx.x = 0; threadIdx.x < BLOCK_WIDTH; ++threadIdx.x)
#define KERNEL(name, Arguments)                                                    \
    static void name(const Arguments &a);                                          \
    extern "C" u32 vproc_##name##_size() { return sizeof(Arguments); }             \
    extern "C" void vproc_##name(const Arguments *a, u32 width, u32 height, u32 depth) { \
        for (blockIdx.z = 0; blockIdx.z < depth; ++blockIdx.z)                     \
            for (blockIdx.y = 0; blockIdx.y < height; ++blockIdx.y)                \
                for (blockIdx.x = 0; blockIdx.x < width; ++blockIdx.x) name(*a);   \
    }                                                                              \
    static void name(const Arguments &a)
#else
#define DEVICE static __device__ __forceinline__
#define SHARED __shared__
#define EACH_THREAD __syncthreads();
#define KERNEL(name, Arguments) \
    extern "C" __global__ void __launch_bounds__(BLOCK_THREADS) vproc_##name(const __grid_constant__ Arguments a)
#endif

// A window of a batch, and where what comes of it goes.
struct Item {
    const u8 *source[4];  // the planes of the input picture; in semi-planar formats 2 begins a sample after 1
    u8 *out[4];           // the planes of the output picture, or of a part of it
    int window_x, window_y;  // in the input picture
    int core_x, core_y, core_width, core_height;  // what is written, in luma samples of the output picture
    int corner_x, corner_y;  // where the first luma sample of `out` lies in the output picture
};

// What the input pictures of a launch have in common.
struct Source {
    long long pitch[4];
    int width, height;  // of luma
    int bytes;          // of a sample, 1 or 2
    int shift;          // the code is the sample shifted right
    int step;           // from a chroma sample to the next, 1 or 2
    int unused;
};

// What the output pictures of a launch have in common.
struct Target {
    long long pitch[4];
    int width, height;   // of luma, of whole pictures
    int bytes;           // of a sample, 1 or 2
    int log2_x, log2_y;  // luma samples that a chroma sample covers
    float max;           // the largest code
};

enum Element { F32 = 0, F16 = 1, U8 = 2 };

// A batch of pictures as the network takes or gives it; distances in elements.
struct Tensor {
    void *data;
    long long item, row;
    long long channel[3];  // to red, green, blue, or to luma
    int column;
    int element;
    int width, height;  // of a picture
};

// (value - from) * gain + to
struct Linear {
    float from, gain, to;
};

// A filter along an axis: output `n_phases * i + p` sums `count[p]` inputs from `stride * i + first[p]`; inputs before
// the first and after the last repeat those.
struct Taps {
    int src_len, n_phases, stride;
    int lowest, highest;  // of the inputs that any output of period 0 sums
    int first[8], count[8];
    float coefs[8][16];
};

DEVICE int least(int a, int b) { return a < b ? a : b; }

DEVICE int clamped(int at, int length) { return at < 0 ? 0 : least(at, length - 1); }

DEVICE float code_at(const u8 *plane, long long pitch, int bytes, int shift, int x, int y) {
    const u8 *row = plane + pitch * y;
    return bytes == 1 ? (float)row[x] : (float)(((const u16 *)row)[x] >> shift);
}

// Luma (0) or chroma (1, 2) of the input picture.
DEVICE float source_code(const Item &item, const Source &source, int plane, int x, int y) {
    int column = plane == 1 || plane == 2 ? x * source.step : x;
    return code_at(item.source[plane], source.pitch[plane], source.bytes, source.shift, column, y);
}

DEVICE float linear(const Linear &line, float value) { return (value - line.from) * line.gain + line.to; }

// The nearest code from 0 to `max`; ties go to even, and what is not a number becomes 0. Adding 1.5 * 2^23 leaves a
// float no room for fractions, and the integer stands in its low bits.
DEVICE u32 round_code(float code, float max) {
    code = code > 0.0f ? code : 0.0f;
    code = code < max ? code : max;
    float sum = code + 12582912.0f;
#ifdef VPROC_HOST
    u32 bits;
    __builtin_memcpy(&bits, &sum, sizeof bits);
    return bits & 0xffff;
#else
    return __float_as_uint(sum) & 0xffff;
#endif
}

DEVICE void write_code(u8 *plane, long long pitch, int bytes, int x, int y, u32 code) {
    u8 *row = plane + pitch * y;
    if (bytes == 1) {
        row[x] = (u8)code;
    } else {
        ((u16 *)row)[x] = (u16)code;
    }
}

DEVICE float load(const Tensor &tensor, long long at) {
    if (tensor.element == F32) return ((const float *)tensor.data)[at];
    if (tensor.element == U8) return (float)((const u8 *)tensor.data)[at];
#ifdef VPROC_HOST
    return (float)((const _Float16 *)tensor.data)[at];
#else
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(((const u16 *)tensor.data)[at]));
    return value;
#endif
}

DEVICE void store(const Tensor &tensor, long long at, float value) {
    if (tensor.element == F32) {
        ((float *)tensor.data)[at] = value;
    } else if (tensor.element == U8) {
        ((u8 *)tensor.data)[at] = (u8)round_code(value, 255.0f);
    } else {
#ifdef VPROC_HOST
        ((_Float16 *)tensor.data)[at] = (_Float16)value;
#else
        u16 half;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
        ((u16 *)tensor.data)[at] = half;
#endif
    }
}

// Where the first channel of a pixel lies, before the channel's own distance.
DEVICE long long pixel_at(const Tensor &tensor, int item, int x, int y) {
    return tensor.item * item + tensor.row * y + (long long)tensor.column * x;
}
