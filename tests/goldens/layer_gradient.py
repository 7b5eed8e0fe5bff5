def loss_grad(W: f64[3, 4], b: f64[3], x: f64[4], g: f64[3]) -> (f64[3, 4], f64[3], f64[4]):
    t1 : f64[3]    = W @ x
    z  : f64[3]    = t1 + b
    h  : f64[3]    = tanh(z)
    t2 : f64[3]    = square(h)
    t3 : f64[3]    = 1.0 - t2
    dz : f64[3]    = g * t3
    t4 : f64[3, 1] = reshape(dz, shape=(3, 1), rank=1)
    dW : f64[3, 4] = t4 * x
    t5 : f64[4, 3] = W.T
    dx : f64[4]    = t5 @ dz
    return dW, dz, dx

