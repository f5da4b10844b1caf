// Compares the luma of two pictures: SSIM in windows of 8x8 samples, each four from the next, and
// the squared error, as worker/quality/ssim.py has them.
//
// A thread has a span of 16 windows beside one another, and the blocks of 4x4 samples that stand at
// their upper left: it adds up the columns of blocks, 4x8 samples each, and makes a window of two
// of them. Every thread has a place of its own in both outputs; the host adds those up.

struct Comparison {
    unsigned long long reference, coded, windows, errors;  // errors: sums of squares, 32 bits each
    int reference_pitch, coded_pitch, width, height;
};

constexpr int kSpan = 16;
constexpr int kC1 = 416, kC2 = 235963;  // as ssim.py has them

struct Column {
    int a, b, squares, products;  // of 4x8 samples
};

extern "C" __global__ void compare_luma(const Comparison c) {
    const int columns = (c.width + 3) / 4, rows = (c.height + 3) / 4;
    const int spans = (columns + kSpan - 1) / kSpan;
    const int index = (int)(blockIdx.x * 128 + threadIdx.x);
    if (index >= spans * rows) return;
    const int top = index / spans * 4, first = index % spans * kSpan;
    const unsigned char* reference = (const unsigned char*)c.reference;
    const unsigned char* coded = (const unsigned char*)c.coded;
    const bool has_windows = top + 8 <= c.height;
    const int bottom = has_windows ? top + 8 : min(top + 4, c.height);
    float total = 0.0f;
    unsigned int error = 0;
    Column before = {0, 0, 0, 0};
    // One column of blocks more than the span has, for its last window.
    for (int block = first; block <= first + kSpan && block < columns; ++block) {
        const int left = block * 4, right = min(left + 4, c.width);
        Column now = {0, 0, 0, 0};
        for (int y = top; y < bottom; ++y) {
            for (int x = left; x < right; ++x) {
                const int a = reference[(long long)y * c.reference_pitch + x];
                const int b = coded[(long long)y * c.coded_pitch + x];
                now.a += a;
                now.b += b;
                now.squares += a * a + b * b;
                now.products += a * b;
                if (block < first + kSpan && y < top + 4)
                    error += (unsigned int)((a - b) * (a - b));
            }
        }
        if (has_windows && block > first && left + 4 <= c.width) {
            const int a = before.a + now.a, b = before.b + now.b;
            const int product = a * b, squares = a * a + b * b;  // below 2^30, as what follows
            const int variances = (before.squares + now.squares) * 64 - squares;
            const int covariance = (before.products + now.products) * 64 - product;
            total += (float)(2 * product + kC1) * (float)(2 * covariance + kC2) /
                     ((float)(squares + kC1) * (float)(variances + kC2));
        }
        before = now;
    }
    ((float*)c.windows)[index] = total;
    ((unsigned int*)c.errors)[index] = error;
}
