// Runs scale.cu as C++: 128 threads with a barrier are a block, blocks come one after the other.
// Proves the kernel's indexing and arithmetic where there is no GPU; nothing about its speed.
#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstdlib>
#include <thread>
#include <vector>

using std::max;
using std::min;
struct uint2 { unsigned x, y; };
struct float4 { float x, y, z, w; };
struct Index { unsigned x; };
static thread_local Index threadIdx, blockIdx;
static std::barrier<>* block_barrier;
static float4 columns[1 << 16];

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(n)
#define __grid_constant__
#define __restrict__
#define __shared__
#define __syncthreads() block_barrier->arrive_and_wait()
template <class T> static T __ldg(const T* p) { return *p; }
static uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static int __float2int_rn(float v) { return static_cast<int>(std::nearbyint(v)); }
static unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    const unsigned long long both = a | static_cast<unsigned long long>(b) << 32;
    unsigned out = 0;
    for (int i = 0; i < 4; ++i)
        out |= static_cast<unsigned>(both >> 8 * (selector >> 4 * i & 7) & 255) << 8 * i;
    return out;
}
static int dot(int w, unsigned b, int c) {
    return c + static_cast<short>(w) * static_cast<int>(b & 255) +
           static_cast<short>(w >> 16) * static_cast<int>(b >> 8 & 255);
}
static int dot_low(int w, unsigned b, int c) { return dot(w, b, c); }
static int dot_high(int w, unsigned b, int c) { return dot(w, b >> 16, c); }

#include "scale.cu"

extern "C" int run_kernel(const void* arguments, int size, int blocks, int shared_bytes) {
    if (size != sizeof(Launch) || shared_bytes > static_cast<int>(sizeof columns)) return 1;
    const Launch& launch = *static_cast<const Launch*>(arguments);
    std::barrier<> barrier(kThreads);
    block_barrier = &barrier;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < kThreads; ++t)
        threads.emplace_back([&, t] {
            threadIdx.x = t;
            for (int block = 0; block < blocks; ++block) {
                blockIdx.x = block;
                barrier.arrive_and_wait();
                // NaN where nothing is written: a read of it would show in the picture.
                for (int i = t; i < shared_bytes / 16; i += kThreads)
                    columns[i] = {NAN, NAN, NAN, NAN};
                barrier.arrive_and_wait();
                // A block may return before its barrier, all threads of it or none.
                scale_ladder(launch);
            }
        });
    for (auto& thread : threads) thread.join();
    return 0;
}
