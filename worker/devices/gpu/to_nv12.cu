// One decoded P016 frame (16-bit samples, the value in the upper 10 bits) to NV12, in one launch.
//
// A thread makes a block of 2x2 luma samples and their pair of chroma. Where tones are mapped it
// goes by the light of each luma sample, its chroma taken linearly from the neighbours (left-sited),
// as worker/devices/tone_mapping.py has the curves; elsewhere samples are rounded to 8 bits. Powers
// are the device's fast ones: of 8 bits they are right to a hundredth of a step.

struct Conversion {
    unsigned long long luma, chroma, target_luma, target_chroma;
    int pitch, target_pitch, width, height;  // pitches in bytes, sizes in luma samples (even)
    int transfer, matrix;                    // 0: only rounded; else 16 PQ, 18 HLG, 1 BT.1886
};

constexpr float kPqM1 = 2610.0f / 16384.0f, kPqM2 = 2523.0f / 4096.0f * 128.0f;
constexpr float kPqC1 = 3424.0f / 4096.0f, kPqC2 = 2413.0f / 4096.0f * 32.0f;
constexpr float kPqC3 = 2392.0f / 4096.0f * 32.0f;
constexpr float kHlgA = 0.17883277f, kHlgB = 1.0f - 4.0f * kHlgA, kHlgC = 0.55991073f;
constexpr float kPeak = 1000.0f, kWhite = 203.0f;
constexpr float kPeakPq = 0.751827096f, kWhitePq = 0.580688881f;  // as PQ has them

__device__ __forceinline__ float clamp01(float v) { return fminf(fmaxf(v, 0.0f), 1.0f); }

__device__ __forceinline__ float pq_to_nits(float v) {
    const float root = __powf(fmaxf(v, 0.0f), 1.0f / kPqM2);
    return 10000.0f * __powf(fmaxf(root - kPqC1, 0.0f) / (kPqC2 - kPqC3 * root), 1.0f / kPqM1);
}

__device__ __forceinline__ float nits_to_pq(float nits) {
    const float root = __powf(fmaxf(nits * 1e-4f, 0.0f), kPqM1);
    return __powf((kPqC1 + kPqC2 * root) / (1.0f + kPqC3 * root), kPqM2);
}

__device__ __forceinline__ float hlg_to_scene(float v) {
    return v <= 0.5f ? v * v / 3.0f : (__expf((v - kHlgC) / kHlgA) + kHlgB) / 12.0f;
}

// BT.2390's EETF, from kPeak to kWhite, of a light that PQ has as `level`.
__device__ __forceinline__ float compressed(float nits, float level) {
    constexpr float most = kWhitePq / kPeakPq, knee = 1.5f * most - 0.5f;
    level = fminf(level / kPeakPq, 1.0f);
    if (level < knee) return nits;
    const float t = (level - knee) / (1.0f - knee), t2 = t * t, t3 = t2 * t;
    const float curve = (2.0f * t3 - 3.0f * t2 + 1.0f) * knee +
                        (t3 - 2.0f * t2 + t) * (1.0f - knee) + (3.0f * t2 - 2.0f * t3) * most;
    return pq_to_nits(curve * kPeakPq);
}

// R'G'B' of the source to R'G'B' of BT.709.
__device__ __forceinline__ void to_sdr(int transfer, float rgb[3]) {
    float light[3];
    if (transfer == 16) {
        for (int c = 0; c < 3; ++c) light[c] = pq_to_nits(rgb[c]);
    } else if (transfer == 18) {
        for (int c = 0; c < 3; ++c) light[c] = hlg_to_scene(rgb[c]);
        const float luma = 0.2627f * light[0] + 0.6780f * light[1] + 0.0593f * light[2];
        const float gain = kPeak * __powf(luma, 0.2f);
        for (int c = 0; c < 3; ++c) light[c] *= gain;
    } else {
        for (int c = 0; c < 3; ++c) light[c] = kWhite * __powf(rgb[c], 2.4f);
    }
    if (transfer == 16 || transfer == 18) {
        const float largest = fmaxf(fmaxf(fmaxf(light[0], light[1]), light[2]), 1e-6f);
        const float level = transfer == 16 ? fmaxf(fmaxf(rgb[0], rgb[1]), rgb[2]) : nits_to_pq(largest);
        const float gain = compressed(largest, level) / largest;
        for (int c = 0; c < 3; ++c) light[c] *= gain;
    }
    const float r = light[0] / kWhite, g = light[1] / kWhite, b = light[2] / kWhite;
    rgb[0] = __powf(clamp01(1.660491f * r - 0.587641f * g - 0.072850f * b), 1.0f / 2.4f);
    rgb[1] = __powf(clamp01(-0.124550f * r + 1.132900f * g - 0.008349f * b), 1.0f / 2.4f);
    rgb[2] = __powf(clamp01(-0.018151f * r - 0.100579f * g + 1.118730f * b), 1.0f / 2.4f);
}

__device__ __forceinline__ unsigned char to_8_bits(float v) {
    return static_cast<unsigned char>(fminf(fmaxf(v + 0.5f, 0.0f), 255.0f));
}

__device__ __forceinline__ float sample(unsigned long long plane, int pitch, int x, int y) {
    const unsigned short* row = reinterpret_cast<const unsigned short*>(plane + y * pitch);
    return static_cast<float>(row[x] >> 6);
}

// Chroma at a luma sample's place: columns lie on every second of luma's, rows midway.
__device__ __forceinline__ float chroma_at(const Conversion& c, int x, int y, int which) {
    const int columns = c.width / 2, rows = c.height / 2;
    const int left = x / 2, right = min(left + (x & 1), columns - 1);
    const int above = (y + 1) / 2 - 1, below = min(above + 1, rows - 1);
    const int top = max(above, 0);
    const float down = y & 1 ? 0.25f : 0.75f;
    const float upper = 0.5f * (sample(c.chroma, c.pitch, 2 * left + which, top) +
                                sample(c.chroma, c.pitch, 2 * right + which, top));
    const float lower = 0.5f * (sample(c.chroma, c.pitch, 2 * left + which, below) +
                                sample(c.chroma, c.pitch, 2 * right + which, below));
    return upper + (lower - upper) * down;
}

// Y'CbCr of BT.709, from 0 to 1 and -0.5 to 0.5, of a source's luma sample.
__device__ __forceinline__ void mapped(const Conversion& c, int x, int y, float out[3]) {
    const float kr = c.matrix == 1 ? 0.2126f : 0.2627f, kb = c.matrix == 1 ? 0.0722f : 0.0593f;
    const float luma = (sample(c.luma, c.pitch, x, y) - 64.0f) / 876.0f;
    const float blue = (chroma_at(c, x, y, 0) - 512.0f) / 896.0f;
    const float red = (chroma_at(c, x, y, 1) - 512.0f) / 896.0f;
    float rgb[3];
    rgb[0] = luma + 2.0f * (1.0f - kr) * red;
    rgb[2] = luma + 2.0f * (1.0f - kb) * blue;
    rgb[1] = (luma - kr * rgb[0] - kb * rgb[2]) / (1.0f - kr - kb);
    for (int i = 0; i < 3; ++i) rgb[i] = clamp01(rgb[i]);
    to_sdr(c.transfer, rgb);
    out[0] = 0.2126f * rgb[0] + 0.7152f * rgb[1] + 0.0722f * rgb[2];
    out[1] = (rgb[2] - out[0]) / (2.0f * (1.0f - 0.0722f));
    out[2] = (rgb[0] - out[0]) / (2.0f * (1.0f - 0.2126f));
}

extern "C" __global__ void to_nv12(const __grid_constant__ Conversion c) {
    const int index = blockIdx.x * 128 + threadIdx.x;
    const int columns = c.width / 2;
    if (index >= columns * (c.height / 2)) return;
    const int cx = index % columns, cy = index / columns;
    unsigned char* luma = reinterpret_cast<unsigned char*>(c.target_luma);
    unsigned char* chroma =
        reinterpret_cast<unsigned char*>(c.target_chroma) + cy * c.target_pitch + 2 * cx;
    if (!c.transfer) {
        for (int i = 0; i < 4; ++i) {
            const int x = 2 * cx + (i & 1), y = 2 * cy + (i >> 1);
            luma[y * c.target_pitch + x] = to_8_bits(0.25f * sample(c.luma, c.pitch, x, y));
        }
        for (int i = 0; i < 2; ++i)
            chroma[i] = to_8_bits(0.25f * sample(c.chroma, c.pitch, 2 * cx + i, cy));
        return;
    }
    // The mean of two rows, and of three columns weighted 1, 2, 1, as left-sited chroma has it.
    float blue = 0.0f, red = 0.0f;
    for (int row = 0; row < 2; ++row) {
        const int y = 2 * cy + row;
        for (int column = -1; column < 2; ++column) {
            const int x = max(2 * cx + column, 0);
            float made[3];
            mapped(c, x, y, made);
            if (column >= 0)
                luma[y * c.target_pitch + x] = to_8_bits(16.0f + 219.0f * made[0]);
            const float weight = column ? 0.125f : 0.25f;
            blue += weight * made[1];
            red += weight * made[2];
        }
    }
    chroma[0] = to_8_bits(128.0f + 224.0f * blue);
    chroma[1] = to_8_bits(128.0f + 224.0f * red);
}
