def rnn(h: f64[n], xs: f64[10, n], *, dims=(n >= 1,)) -> (f64[n], f64[10, n]):
    def body(i: i64, h: f64[n], xs: f64[10, n], *, dims=(0 <= i <= 9, n >= 1)) -> (f64[n], f64[n]):
        t1 : f64[n] = xs[i]
        t2 : f64[n] = h + t1
        t3 : f64[n] = tanh(t2)
        return t3, t3
    h_1, hs = loop(body, range(10), carry=(h,), captured=(xs,), backward=True, dims=(n,))  # (f64[n], f64[10, n])
    return h_1, hs
