def loss_grad(
        x: f32[64, 784], W: f32[784, 256], b: f32[256], t: f32[64, 256],
) -> (f32, f32[784, 256], f32[256]):
    z    = x @ W
    with fused(reads=(z, b, t), writes="da db q"):
        a  = z + b
        h  = tanh(a)
        e  = h - t
        s  = e * e
        q  = sum(s, axes=(-2, -1))
        g  = 0.03125 * e
        u  = h * h
        v  = 1.0 - u
        da = g * v
        db = sum(da, axes=(-2,))
    loss = q / 64.0
    xT   = x.T
    dW   = xT @ da
    return loss, dW, db
