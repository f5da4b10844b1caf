// One decoded NV12 frame to all rungs of a ladder in one launch; plan.py says how the work is cut.
//
// A block makes one tile of one plane. First the rows: each thread filters 8 neighbouring bytes of
// the source for 4 target rows, in exact integers (two rows a dp2a), and lays them as float4 (the 4
// rows) into shared memory. Then the columns: each thread makes 8 rows of one target byte. What
// lies outside the picture is black. UNALIGNED is set where rows do not begin on 8 bytes.

constexpr int kThreads = 128;
constexpr int kTileRows = 16;
constexpr int kMaxRungs = 16;
constexpr float kRowScale = 1.0f / 16384.0f;

struct Plane {
    int slot, is_chroma, width, height, pitch, offset;
    int picture_x, picture_y, picture_width, picture_height;
    int tile_shift, tiles_x, source_width, source_height;
    int row_first, row_weights, row_pairs, column_first, column_weights, column_taps, black;
};

struct Launch {
    unsigned long long luma, chroma, table;
    unsigned long long targets[kMaxRungs];
    int pitch, plane_count;
    int first_block[2 * kMaxRungs];
    Plane planes[2 * kMaxRungs];
};

#ifdef __CUDACC__
// c + w.lo * b[i] + w.hi * b[i + 1], weights signed 16 bit, pixels unsigned 8 bit; i = 0 or 2.
__device__ __forceinline__ int dot_low(int w, unsigned b, int c) {
    int d;
    asm("dp2a.lo.s32.u32 %0, %1, %2, %3;" : "=r"(d) : "r"(w), "r"(b), "r"(c));
    return d;
}
__device__ __forceinline__ int dot_high(int w, unsigned b, int c) {
    int d;
    asm("dp2a.hi.s32.u32 %0, %1, %2, %3;" : "=r"(d) : "r"(w), "r"(b), "r"(c));
    return d;
}
#endif

// 8 bytes at p; in the unaligned form none beyond `left` (even) are touched.
__device__ __forceinline__ uint2 load8(const unsigned char* p, int left) {
#ifdef UNALIGNED
    unsigned word[4];
    for (int i = 0; i < 4; ++i)
        word[i] = 2 * i < left ? *reinterpret_cast<const unsigned short*>(p + 2 * i) : 0u;
    return make_uint2(word[0] | word[1] << 16, word[2] | word[3] << 16);
#else
    return __ldg(reinterpret_cast<const uint2*>(p));
#endif
}

// Columns stand 9 to each 8, so that neither phase meets itself in shared memory's banks.
__device__ __forceinline__ int spread(int column) { return column + (column >> 3); }

__device__ __forceinline__ unsigned char to_byte(float v) {
    return static_cast<unsigned char>(min(max(__float2int_rn(v), 0), 255));
}

extern "C" __global__ void __launch_bounds__(kThreads)
scale_ladder(const __grid_constant__ Launch launch) {
    extern __shared__ float4 columns[];  // [4 groups of 4 rows][spread columns]

    const int block = blockIdx.x;
    int index = 0;
    while (index + 1 < launch.plane_count && block >= launch.first_block[index + 1]) ++index;
    const Plane& plane = launch.planes[index];
    const int tile = block - launch.first_block[index];
    const int x0 = (tile % plane.tiles_x) << plane.tile_shift;
    const int y0 = tile / plane.tiles_x * kTileRows;
    const int x1 = min(x0 + (1 << plane.tile_shift), plane.width);
    const int y1 = min(y0 + kTileRows, plane.height);
    const int begin_x = max(x0, plane.picture_x);
    const int end_x = min(x1, plane.picture_x + plane.picture_width);
    const int begin_y = max(y0, plane.picture_y);
    const int end_y = min(y1, plane.picture_y + plane.picture_height);
    unsigned char* target =
        reinterpret_cast<unsigned char*>(launch.targets[plane.slot]) + plane.offset;

    if (begin_x >= end_x || begin_y >= end_y) {
        for (int i = threadIdx.x; i < (y1 - y0) << plane.tile_shift; i += kThreads) {
            const int x = x0 + (i & ((1 << plane.tile_shift) - 1));
            const int y = y0 + (i >> plane.tile_shift);
            if (x < x1) target[y * plane.pitch + x] = static_cast<unsigned char>(plane.black);
        }
        return;
    }

    const int* __restrict__ table = reinterpret_cast<const int*>(launch.table);
    const int* __restrict__ column_first = table + plane.column_first;
    const int step_shift = plane.is_chroma;
    const int step = 1 << step_shift;
    const int low =
        (__ldg(column_first + ((begin_x - plane.picture_x) >> step_shift)) << step_shift) & ~7;
    const int last = __ldg(column_first + ((end_x - 1 - plane.picture_x) >> step_shift));
    const int high = min((last + plane.column_taps) << step_shift, plane.source_width);
    const int chunks = (high - low + 7) >> 3;
    const int stride = chunks * 9;

    // Rows: an item is 8 source columns for 4 target rows.
    {
        const unsigned char* __restrict__ source =
            reinterpret_cast<const unsigned char*>(plane.is_chroma ? launch.chroma : launch.luma);
        const int pairs = plane.row_pairs;
        const int last_row = plane.source_height - 1;
        for (int item = threadIdx.x; item < chunks * 4; item += kThreads) {
            const int group = item / chunks;
            const int chunk = item - group * chunks;
            const int column = low + chunk * 8;
            const int left = plane.source_width - column;
            float value[8][4];
#pragma unroll
            for (int r = 0; r < 4; ++r) {
                const int y =
                    min(max(y0 + group * 4 + r, begin_y), end_y - 1) - plane.picture_y;
                const int* __restrict__ weights = table + plane.row_weights + y * pairs;
                int row = __ldg(table + plane.row_first + y);
                int sum[8] = {0, 0, 0, 0, 0, 0, 0, 0};
#pragma unroll 4
                for (int pair = 0; pair < pairs; ++pair, row += 2) {
                    const int w = __ldg(weights + pair);
                    const uint2 a = load8(source + row * launch.pitch + column, left);
                    const uint2 b =
                        load8(source + min(row + 1, last_row) * launch.pitch + column, left);
                    const unsigned p0 = __byte_perm(a.x, b.x, 0x5140);
                    const unsigned p1 = __byte_perm(a.x, b.x, 0x7362);
                    const unsigned p2 = __byte_perm(a.y, b.y, 0x5140);
                    const unsigned p3 = __byte_perm(a.y, b.y, 0x7362);
                    sum[0] = dot_low(w, p0, sum[0]);
                    sum[1] = dot_high(w, p0, sum[1]);
                    sum[2] = dot_low(w, p1, sum[2]);
                    sum[3] = dot_high(w, p1, sum[3]);
                    sum[4] = dot_low(w, p2, sum[4]);
                    sum[5] = dot_high(w, p2, sum[5]);
                    sum[6] = dot_low(w, p3, sum[6]);
                    sum[7] = dot_high(w, p3, sum[7]);
                }
#pragma unroll
                for (int c = 0; c < 8; ++c) value[c][r] = static_cast<float>(sum[c]) * kRowScale;
            }
            float4* to = columns + group * stride + chunk * 9;
#pragma unroll
            for (int c = 0; c < 8; ++c)
                to[c] = make_float4(value[c][0], value[c][1], value[c][2], value[c][3]);
        }
    }
    __syncthreads();

    // Columns: an item is 8 rows of one target byte.
    const float* __restrict__ weights =
        reinterpret_cast<const float*>(table + plane.column_weights);
    const int samples = plane.picture_width >> step_shift;
    for (int item = threadIdx.x; item < 2 << plane.tile_shift; item += kThreads) {
        const int x = x0 + (item & ((1 << plane.tile_shift) - 1));
        const int half = item >> plane.tile_shift;
        if (x >= x1) continue;
        const bool inside = x >= begin_x && x < end_x;
        float sum[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        if (inside) {
            const int sample = (x - plane.picture_x) >> step_shift;
            int column = (__ldg(column_first + sample) << step_shift) + (x & (step - 1)) - low;
            const float4* upper = columns + 2 * half * stride;
            const float4* lower = upper + stride;
            const float* weight = weights + sample;
#pragma unroll 4
            for (int tap = 0; tap < plane.column_taps; ++tap) {
                const float w = __ldg(weight);
                const int at = spread(column);
                const float4 u = upper[at];
                const float4 v = lower[at];
                sum[0] += w * u.x;
                sum[1] += w * u.y;
                sum[2] += w * u.z;
                sum[3] += w * u.w;
                sum[4] += w * v.x;
                sum[5] += w * v.y;
                sum[6] += w * v.z;
                sum[7] += w * v.w;
                weight += samples;
                column += step;
            }
        }
        const int y = y0 + half * 8;
        unsigned char* to = target + y * plane.pitch + x;
#pragma unroll
        for (int r = 0; r < 8; ++r) {
            if (y + r >= y1) break;
            const bool picture = inside && y + r >= begin_y && y + r < end_y;
            to[r * plane.pitch] =
                picture ? to_byte(sum[r]) : static_cast<unsigned char>(plane.black);
        }
    }
}
