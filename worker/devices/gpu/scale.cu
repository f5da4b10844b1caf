// One decoded NV12 frame to all rungs of a ladder in one launch; plan.py says how the work is cut.
//
// A block makes a column of tiles of one plane, a warp one tile: 8 rows of the target, as wide as
// 32 lanes reach in the source. First the rows: a lane filters 8 neighbouring bytes of the source
// for the tile's 8 rows, in exact integers (two source rows a dp2a), and lays them, less 128 and as
// halves, into the warp's part of shared memory, a column's 8 rows in 16 bytes. Then the columns: a
// lane makes 8 rows of one target byte at a time, in pairs of halves. What lies outside the picture
// is black. UNALIGNED is set where rows do not begin on 8 samples of memory. WIDE is set for frames of
// 16-bit samples (P016, the value in the upper 10 bits): they are rounded to bytes as they are loaded,
// so all that follows is the same, and "bytes of the source" below are samples.

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kBlocks = 5;  // on a multiprocessor, so at most 96 registers: measured on an H100
constexpr int kTileRows = 8;
constexpr int kMaxRungs = 16;
#ifdef WIDE
constexpr int kSampleBytes = 2;
#else
constexpr int kSampleBytes = 1;
#endif
constexpr float kRowScale = 1.0f / 16384.0f;
// Sums of rows begin here: as the bits of a float they are 1.5 * 2^23 plus the sum less 128 * 2^14.
constexpr int kSumStart = 0x4b400000 - 128 * 16384;
constexpr float kSumZero = 768.0f;  // 1.5 * 2^23 * kRowScale
// 1.5 * 1024 + 128 as a pair of halves: added to a value less 128, the sum's last bits are the
// value rounded to an integer, from kByteZero on.
constexpr unsigned kToInteger = 0x66806680u;
constexpr int kByteZero = 0x6600;

struct Plane {
    int slot, is_chroma, width, height, pitch, offset;
    int picture_x, picture_y, picture_width, picture_height;
    int tile_width, tiles_x, source_width, source_height;
    int rows, row_pairs, samples, taps, black;
};

struct Launch {
    unsigned long long luma, chroma, table;
    unsigned long long targets[kMaxRungs];
    int pitch, plane_count, warp_columns, reserved;
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
// Two halves in 32 bits.
__device__ __forceinline__ unsigned pack(float low, float high) {
    unsigned d;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
#else
    asm("{.reg .b16 l, h; cvt.rn.f16.f32 l, %1; cvt.rn.f16.f32 h, %2; mov.b32 %0, {l, h};}"
        : "=r"(d)
        : "f"(low), "f"(high));
#endif
    return d;
}
__device__ __forceinline__ unsigned fma2(unsigned a, unsigned b, unsigned c) {
    unsigned d;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}
__device__ __forceinline__ unsigned add2(unsigned a, unsigned b) {
    unsigned d;
    asm("add.rn.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
    return d;
}
#endif

// 16-bit samples, two a word, to bytes in the upper halves of 16: what is above 255 stays there.
__device__ __forceinline__ unsigned rounded(unsigned two) {
    return __vminu2(two, 0xff7fff7fu) + 0x00800080u;
}

// 8 samples at p as bytes; in the unaligned form none beyond `left` (even) are touched.
__device__ __forceinline__ uint2 load8(const unsigned char* p, int left) {
#ifdef UNALIGNED
    unsigned word[4];
    for (int i = 0; i < 4; ++i) {
#ifdef WIDE
        word[i] = 0u;
        if (2 * i < left) {
            const unsigned short* two = reinterpret_cast<const unsigned short*>(p + 4 * i);
            word[i] = __byte_perm(rounded(two[0] | two[1] << 16), 0, 0x4431);
        }
#else
        word[i] = 2 * i < left ? *reinterpret_cast<const unsigned short*>(p + 2 * i) : 0u;
#endif
    }
    return make_uint2(word[0] | word[1] << 16, word[2] | word[3] << 16);
#elif defined(WIDE)
    const uint4 eight = __ldg(reinterpret_cast<const uint4*>(p));
    return make_uint2(__byte_perm(rounded(eight.x), rounded(eight.y), 0x7531),
                      __byte_perm(rounded(eight.z), rounded(eight.w), 0x7531));
#else
    return __ldg(reinterpret_cast<const uint2*>(p));
#endif
}

// Columns stand 9 to each 8, so that neither phase meets itself in shared memory's banks.
__device__ __forceinline__ int spread(int column) { return column + (column >> 3); }

__device__ __forceinline__ unsigned char to_byte(unsigned integer) {
    return static_cast<unsigned char>(
        min(max(static_cast<int>(integer), kByteZero), kByteZero + 255));
}

// One target row at 8 source columns, as kSumStart says. `p` is at the first source row, `weights`
// are in registers where PAIRS is known, else in memory.
template <int PAIRS>
__device__ __forceinline__ void filter_row(const unsigned char* __restrict__ p, int pitch,
                                           int left, const int* weights, int pairs, int sum[8]) {
#pragma unroll
    for (int c = 0; c < 8; ++c) sum[c] = kSumStart;
    const int count = PAIRS ? PAIRS : pairs;
#pragma unroll
    for (int pair = 0; pair < count; ++pair) {
        const int w = weights[pair];
        const uint2 a = load8(p + (2 * pair) * pitch, left);
        const uint2 b = load8(p + (2 * pair + 1) * pitch, left);
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
}

// What the rows of a warp's tile need.
struct Rows {
    const unsigned char* source;  // at the tile's first source column
    const int4* table;            // a record a picture row: its first source row, its weights
    int pitch, pairs, begin, end;  // picture rows of the tile; `end` is one beyond
    int left;                      // samples of a source row from `source` on
};

template <int PAIRS>
__device__ __forceinline__ void filter_rows(const Rows& rows, int lane, int chunks, uint4* tile) {
    constexpr int kQuads = (PAIRS + 4) / 4;  // of a record
    const int quads = PAIRS ? kQuads : (rows.pairs + 4) / 4;
    for (int chunk = lane; chunk < chunks; chunk += 32) {
        const unsigned char* source = rows.source + chunk * 8 * kSampleBytes;
        const int left = rows.left - chunk * 8;
        // Four rows at a time: more would take more registers than pay.
#pragma unroll 1
        for (int half = 0; half < 2; ++half) {
            unsigned packed[8][2];
#pragma unroll
            for (int pair = 0; pair < 2; ++pair) {
                int sum[2][8];
#pragma unroll
                for (int r = 0; r < 2; ++r) {
                    // A tile may begin above or end below the picture: rows made and not used.
                    const int row = rows.begin + 4 * half + 2 * pair + r;
                    const int4* record = rows.table + min(max(row, 0), rows.end - 1) * quads;
                    if (PAIRS) {
                        int words[4 * kQuads];
#pragma unroll
                        for (int quad = 0; quad < kQuads; ++quad) {
                            const int4 four = __ldg(record + quad);
                            words[4 * quad] = four.x;
                            words[4 * quad + 1] = four.y;
                            words[4 * quad + 2] = four.z;
                            words[4 * quad + 3] = four.w;
                        }
                        filter_row<PAIRS>(source + words[0] * rows.pitch, rows.pitch, left,
                                          words + 1, PAIRS, sum[r]);
                    } else {
                        const int* words = reinterpret_cast<const int*>(record);
                        filter_row<0>(source + words[0] * rows.pitch, rows.pitch, left, words + 1,
                                      rows.pairs, sum[r]);
                    }
                }
#pragma unroll
                for (int c = 0; c < 8; ++c)
                    packed[c][pair] = pack(__int_as_float(sum[0][c]) * kRowScale - kSumZero,
                                           __int_as_float(sum[1][c]) * kRowScale - kSumZero);
            }
#pragma unroll
            for (int c = 0; c < 8; ++c)
                reinterpret_cast<uint2*>(tile + chunk * 9 + c)[half] =
                    make_uint2(packed[c][0], packed[c][1]);
        }
    }
}

// 8 rows of one target byte, less 128, two rows a word. A record is the first source sample and then
// the weights as halves. TAPS 0: as many as `taps`.
template <int TAPS>
__device__ __forceinline__ void filter_column(const int4* __restrict__ record, int taps,
                                              const uint4* tile, int offset, int step_shift,
                                              unsigned sum[4]) {
    constexpr int kQuads = (TAPS + 9) / 8;  // of a record
    sum[0] = sum[1] = sum[2] = sum[3] = 0;
    int words[4 * kQuads];
    if (TAPS) {
#pragma unroll
        for (int quad = 0; quad < kQuads; ++quad) {
            const int4 four = __ldg(record + quad);
            words[4 * quad] = four.x;
            words[4 * quad + 1] = four.y;
            words[4 * quad + 2] = four.z;
            words[4 * quad + 3] = four.w;
        }
    } else {
        words[0] = __ldg(reinterpret_cast<const int*>(record));
    }
    const int column = (words[0] << step_shift) + offset;
    const int count = TAPS ? TAPS : taps;
#pragma unroll
    for (int tap = 0; tap < count; ++tap) {
        const int two = TAPS ? words[1 + tap / 2]
                             : __ldg(reinterpret_cast<const int*>(record) + 1 + tap / 2);
        const unsigned w = __byte_perm(two, 0, tap % 2 ? 0x3232 : 0x1010);
        const uint4 v = tile[spread(column + (tap << step_shift))];
        sum[0] = fma2(w, v.x, sum[0]);
        sum[1] = fma2(w, v.y, sum[1]);
        sum[2] = fma2(w, v.z, sum[2]);
        sum[3] = fma2(w, v.w, sum[3]);
    }
}

// What the columns of a warp's tile need; all of the target's.
struct Columns {
    const int4* table;  // a record a sample of the picture
    unsigned char* target;
    int pitch, picture_x, low, step_shift, taps;
    int x0, x1, begin_x, end_x, y0, y1, begin_y, end_y;
    unsigned char black;
};

template <int TAPS>
__device__ __forceinline__ void filter_columns(const Columns& c, int lane, const uint4* tile) {
    const int quads = ((TAPS ? TAPS : c.taps) + 9) / 8;
    const bool is_whole = c.begin_y == c.y0 && c.end_y == c.y0 + kTileRows;
    for (int x = c.x0 + lane; x < c.x1; x += 32) {
        const bool inside = x >= c.begin_x && x < c.end_x;
        unsigned sum[4] = {0, 0, 0, 0};
        if (inside) {
            const int4* record = c.table + ((x - c.picture_x) >> c.step_shift) * quads;
            const int channel = x & ((1 << c.step_shift) - 1);
            filter_column<TAPS>(record, c.taps, tile, channel - c.low, c.step_shift, sum);
        }
        unsigned char* to = c.target + c.y0 * c.pitch + x;
        if (is_whole && inside) {
#pragma unroll
            for (int r = 0; r < kTileRows; r += 2) {
                const unsigned two = add2(sum[r / 2], kToInteger);
                to[r * c.pitch] = to_byte(two & 0xffff);
                to[(r + 1) * c.pitch] = to_byte(two >> 16);
            }
            continue;
        }
        for (int r = 0; r < kTileRows; ++r) {
            const int y = c.y0 + r;
            const unsigned word = r < 4 ? (r < 2 ? sum[0] : sum[1]) : (r < 6 ? sum[2] : sum[3]);
            const unsigned two = add2(word, kToInteger);
            const bool picture = inside && y >= c.begin_y && y < c.end_y;
            if (y < c.y1)
                to[r * c.pitch] = picture ? to_byte(r % 2 ? two >> 16 : two & 0xffff) : c.black;
        }
    }
}

extern "C" __global__ void __launch_bounds__(kThreads, kBlocks)
scale_ladder(const __grid_constant__ Launch launch) {
    extern __shared__ uint4 columns[];  // [warps][warp_columns], a column's 8 rows each

    const int warp = threadIdx.x >> 5;
    const int lane = threadIdx.x & 31;
    const int block = blockIdx.x;
    int index = 0;
    while (index + 1 < launch.plane_count && block >= launch.first_block[index + 1]) ++index;
    const Plane& plane = launch.planes[index];
    const int at = block - launch.first_block[index];
    const int x0 = at % plane.tiles_x * plane.tile_width;
    const int y0 = (at / plane.tiles_x * kWarps + warp) * kTileRows;
    const int x1 = min(x0 + plane.tile_width, plane.width);
    const int y1 = min(y0 + kTileRows, plane.height);
    const int begin_x = max(x0, plane.picture_x);
    const int end_x = min(x1, plane.picture_x + plane.picture_width);
    const int begin_y = max(y0, plane.picture_y);
    const int end_y = min(y1, plane.picture_y + plane.picture_height);
    const unsigned char black = static_cast<unsigned char>(plane.black);
    unsigned char* target =
        reinterpret_cast<unsigned char*>(launch.targets[plane.slot]) + plane.offset;

    if (begin_x >= end_x || begin_y >= end_y) {
        for (int y = y0; y < y1; ++y)
            for (int x = x0 + lane; x < x1; x += 32) target[y * plane.pitch + x] = black;
        return;
    }

    const int* __restrict__ table = reinterpret_cast<const int*>(launch.table);
    const int step_shift = plane.is_chroma;
    const int* __restrict__ samples = table + plane.samples;
    const int sample_words = (plane.taps + 9) / 8 * 4;
    const int first = __ldg(samples + ((begin_x - plane.picture_x) >> step_shift) * sample_words);
    const int last = __ldg(samples + ((end_x - 1 - plane.picture_x) >> step_shift) * sample_words);
    const int low = (first << step_shift) & ~7;
    const int high = min((last + plane.taps) << step_shift, plane.source_width);
    const int chunks = (high - low + 7) >> 3;
    uint4* tile = columns + warp * launch.warp_columns;

    Rows rows;
    rows.source =
        reinterpret_cast<const unsigned char*>(plane.is_chroma ? launch.chroma : launch.luma) +
        low * kSampleBytes;
    rows.table = reinterpret_cast<const int4*>(table + plane.rows);
    rows.pitch = launch.pitch;
    rows.pairs = plane.row_pairs;
    rows.begin = y0 - plane.picture_y;
    rows.end = end_y - plane.picture_y;
    rows.left = plane.source_width - low;
    switch (plane.row_pairs) {
        case 2: filter_rows<2>(rows, lane, chunks, tile); break;
        case 3: filter_rows<3>(rows, lane, chunks, tile); break;
        case 4: filter_rows<4>(rows, lane, chunks, tile); break;
        case 5: filter_rows<5>(rows, lane, chunks, tile); break;
        case 6: filter_rows<6>(rows, lane, chunks, tile); break;
        case 7: filter_rows<7>(rows, lane, chunks, tile); break;
        default: filter_rows<0>(rows, lane, chunks, tile);
    }
    __syncwarp();

    Columns c;
    c.table = reinterpret_cast<const int4*>(samples);
    c.target = target;
    c.pitch = plane.pitch;
    c.picture_x = plane.picture_x;
    c.low = low;
    c.step_shift = step_shift;
    c.taps = plane.taps;
    c.x0 = x0;
    c.x1 = x1;
    c.begin_x = begin_x;
    c.end_x = end_x;
    c.y0 = y0;
    c.y1 = y1;
    c.begin_y = begin_y;
    c.end_y = end_y;
    c.black = black;
    switch (plane.taps) {
        case 4: filter_columns<4>(c, lane, tile); break;
        case 6: filter_columns<6>(c, lane, tile); break;
        case 8: filter_columns<8>(c, lane, tile); break;
        case 10: filter_columns<10>(c, lane, tile); break;
        case 12: filter_columns<12>(c, lane, tile); break;
        case 14: filter_columns<14>(c, lane, tile); break;
        default: filter_columns<0>(c, lane, tile);
    }
}
