// Runs quality.cu as C++, a thread after the other. Proves its arithmetic where there is no GPU.
#include <algorithm>
#include <cmath>

using std::max;
using std::min;
struct Index { unsigned x; };
static Index threadIdx, blockIdx;

#define __device__
#define __global__
#define __forceinline__ inline
#define __grid_constant__

#include "quality.cu"

extern "C" int run_comparison(const void* arguments, int size, int blocks) {
    if (size != sizeof(Comparison)) return 1;
    for (int block = 0; block < blocks; ++block)
        for (int t = 0; t < 128; ++t) {
            blockIdx.x = block;
            threadIdx.x = t;
            compare_luma(*static_cast<const Comparison*>(arguments));
        }
    return 0;
}
