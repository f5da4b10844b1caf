// Runs to_nv12.cu as C++, a thread after the other. Proves its arithmetic where there is no GPU.
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

#define __powf powf
#define __expf expf

#include "to_nv12.cu"

extern "C" int run_conversion(const void* arguments, int size, int blocks) {
    if (size != sizeof(Conversion)) return 1;
    for (int block = 0; block < blocks; ++block)
        for (int t = 0; t < 128; ++t) {
            blockIdx.x = block;
            threadIdx.x = t;
            to_nv12(*static_cast<const Conversion*>(arguments));
        }
    return 0;
}
