// Networks of luma alone: a plane to a batch of pictures and back, by a straight line.
//
// Grid: the window, or the largest core, in blocks of 32x8 samples, and the windows.
#include "vproc.cuh"

struct LumaGather {
    const Item *items;
    Source source;
    Tensor tensor;
    Linear line;
};

KERNEL(luma_gather, LumaGather) {
    const Item &item = a.items[blockIdx.z];
    EACH_THREAD {
        int window_x = blockIdx.x * BLOCK_WIDTH + threadIdx.x, window_y = blockIdx.y * BLOCK_HEIGHT + threadIdx.y;
        if (window_x < a.tensor.width && window_y < a.tensor.height) {
            int x = least(item.window_x + window_x, a.source.width - 1);
            int y = least(item.window_y + window_y, a.source.height - 1);
            float value = linear(a.line, source_code(item, a.source, 0, x, y));
            store(a.tensor, pixel_at(a.tensor, blockIdx.z, window_x, window_y) + a.tensor.channel[0], value);
        }
    }
}

struct LumaScatter {
    const Item *items;
    Target target;
    Tensor tensor;
    Linear line;
    int scale;  // output pixels per input pixel
};

KERNEL(luma_scatter, LumaScatter) {
    const Item &item = a.items[blockIdx.z];
    EACH_THREAD {
        int core_x = blockIdx.x * BLOCK_WIDTH + threadIdx.x, core_y = blockIdx.y * BLOCK_HEIGHT + threadIdx.y;
        if (core_x < item.core_width && core_y < item.core_height) {
            int x = item.core_x + core_x, y = item.core_y + core_y;
            long long at = pixel_at(a.tensor, blockIdx.z, x - item.window_x * a.scale, y - item.window_y * a.scale);
            u32 code = round_code(linear(a.line, load(a.tensor, at + a.tensor.channel[0])), a.target.max);
            write_code(item.out[0], a.target.pitch[0], a.target.bytes, x - item.corner_x, y - item.corner_y, code);
        }
    }
}
