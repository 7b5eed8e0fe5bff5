def loss_grad(
        x: f32[64, 784], W: f32[784, 256], b: f32[256], t: f32[64, 256],
) -> (f32, f32[784, 256], f32[256]):
    z    : f32[64, 256]  = x @ W     #  6  h = np.tanh(x @ W + b)
    with fused(reads=(z, b, t), writes="da db q"):
        a  = z + b
        h  = tanh(a)
        e  = h - t                   #  7  e = h - t
        s  = e * e                   #  8  return np.sum(e * e) / x.shape[0]
        q  = sum(s, axes=(-2, -1))
        g  = 0.03125 * e             # ∂8
        u  = h * h                   # ∂6
        v  = 1.0 - u
        da = g * v
        db = sum(da, axes=(-2,))
    loss : f32           = q / 64.0  #  8
    xT   : f32[784, 64]  = x.T       # ∂6
    dW   : f32[784, 256] = xT @ da
    return loss, dW, db
