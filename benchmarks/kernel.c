/* What the processor can do: one 2-10-10-1 ReLU network, full-batch gradient descent on the logistic loss, with loss and
 * accuracy on training and validation rows every epoch, written by hand. Rows go through in blocks that stay in the L1
 * cache; inner loops run over rows, so that the compiler vectorises them.
 */
#include <math.h>
#include <string.h>

enum { F = 2, H = 10, BLOCK = 100 };

typedef struct { float w1[H][F], b1[H], w2[H][H], b2[H], w3[H], b3; } Net;

static void forward(const Net *net, const float x[F][BLOCK], float a[H][BLOCK], float c[H][BLOCK], float z[BLOCK]) {
    for (int j = 0; j < H; j++)
        for (int r = 0; r < BLOCK; r++)
            a[j][r] = fmaxf(net->b1[j] + net->w1[j][0] * x[0][r] + net->w1[j][1] * x[1][r], 0.f);
    for (int k = 0; k < H; k++) {
        float s[BLOCK];
        for (int r = 0; r < BLOCK; r++) s[r] = net->b2[k];
        for (int j = 0; j < H; j++)
            for (int r = 0; r < BLOCK; r++) s[r] += net->w2[k][j] * a[j][r];
        for (int r = 0; r < BLOCK; r++) c[k][r] = fmaxf(s[r], 0.f);
    }
    for (int r = 0; r < BLOCK; r++) z[r] = net->b3;
    for (int k = 0; k < H; k++)
        for (int r = 0; r < BLOCK; r++) z[r] += net->w3[k] * c[k][r];
}

static void score(const float z[BLOCK], const float y[BLOCK], float *loss, float *right) {
    float l = 0, n = 0;
    for (int r = 0; r < BLOCK; r++) {
        l += fmaxf(z[r], 0.f) - z[r] * y[r] + logf(1.f + expf(-fabsf(z[r])));
        n += (z[r] > 0.f) == (y[r] > 0.5f);
    }
    *loss += l;
    *right += n;
}

/* x is (blocks, F, BLOCK), y (blocks, BLOCK), training blocks first; curves is (epochs, 4). */
void train(Net *net, const float *x, const float *y, int train_blocks, int blocks, int epochs, float lr, float *curves) {
    const int n = train_blocks * BLOCK, m = (blocks - train_blocks) * BLOCK;
    float a[H][BLOCK], c[H][BLOCK], z[BLOCK], d[BLOCK], dc[H][BLOCK], da[BLOCK];
    for (int epoch = 0; epoch < epochs; epoch++) {
        Net g;
        memset(&g, 0, sizeof g);
        float loss = 0, right = 0;
        for (int b = 0; b < train_blocks; b++) {
            const float(*xb)[BLOCK] = (const float(*)[BLOCK])(x + b * F * BLOCK);
            const float *yb = y + b * BLOCK;
            forward(net, xb, a, c, z);
            score(z, yb, &loss, &right);
            for (int r = 0; r < BLOCK; r++) { d[r] = (1.f / (1.f + expf(-z[r])) - yb[r]) / n; g.b3 += d[r]; }
            for (int k = 0; k < H; k++) {
                float gw = 0, gb = 0;
                for (int r = 0; r < BLOCK; r++) {
                    gw += d[r] * c[k][r];
                    dc[k][r] = c[k][r] > 0.f ? d[r] * net->w3[k] : 0.f;
                    gb += dc[k][r];
                }
                g.w3[k] += gw;
                g.b2[k] += gb;
                for (int j = 0; j < H; j++) {
                    float s = 0;
                    for (int r = 0; r < BLOCK; r++) s += dc[k][r] * a[j][r];
                    g.w2[k][j] += s;
                }
            }
            for (int j = 0; j < H; j++) {
                for (int r = 0; r < BLOCK; r++) da[r] = 0;
                for (int k = 0; k < H; k++)
                    for (int r = 0; r < BLOCK; r++) da[r] += net->w2[k][j] * dc[k][r];
                float g0 = 0, g1 = 0, gb = 0;
                for (int r = 0; r < BLOCK; r++) {
                    float v = a[j][r] > 0.f ? da[r] : 0.f;
                    g0 += v * xb[0][r];
                    g1 += v * xb[1][r];
                    gb += v;
                }
                g.w1[j][0] += g0;
                g.w1[j][1] += g1;
                g.b1[j] += gb;
            }
        }
        float *p = (float *)net, *q = (float *)&g;
        for (unsigned i = 0; i < sizeof g / sizeof(float); i++) p[i] -= lr * q[i];
        float after = 0, after_right = 0;
        for (int b = train_blocks; b < blocks; b++) {
            forward(net, (const float(*)[BLOCK])(x + b * F * BLOCK), a, c, z);
            score(z, y + b * BLOCK, &after, &after_right);
        }
        curves[4 * epoch] = loss / n;
        curves[4 * epoch + 1] = right / n;
        curves[4 * epoch + 2] = after / m;
        curves[4 * epoch + 3] = after_right / m;
    }
}
