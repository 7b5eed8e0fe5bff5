def f(x: f64[3:8, 4:24], s: float, k: f32[()], flag: bool_, one: bool) -> (f64[3, 4], bool_):
    t1 : f64       = convert(k, dtype=f64)
    t2 : f64[3, 4] = index_update(x[0, 1:3], t1)
    t3 : f64[3, 4] = index_update(t2[2::-1, i64(1)], 0.5)
    return t3, flag
